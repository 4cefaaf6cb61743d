import * as Args from '@oclif/core/args';
import { BaseCommand } from '../lib/cli/base-command.js';
import type { Declaration } from '../lib/cli/declaration.js';
import { scripts, shells, type Shell } from '../lib/cli/completion/scripts.js';
import type { Rendering } from '../lib/cli/output.js';

interface CompletionScript {
  shell: Shell;
  script: string;
}

export default class Completion extends BaseCommand<CompletionScript> {
  static override summary = 'Print the script that completes this command line in bash, zsh or fish';
  static override description =
    'The Tab key then completes commands, flags, their values, queues, names of tasks and events, and ids. Names and ids come from the database that the line or the environment names, within a second; without a connection nothing is offered.\n' +
    'The name absurdctl must be on the PATH.';
  static override examples = [
    { description: 'bash, in ~/.bashrc', command: 'source <(<%= config.bin %> completion bash)' },
    { description: 'zsh, in ~/.zshrc after compinit', command: 'source <(<%= config.bin %> completion zsh)' },
    {
      description: 'fish, once',
      command: '<%= config.bin %> completion fish > ~/.config/fish/completions/absurdctl.fish',
    },
  ];
  static declares: Declaration = {
    topic: 'WORK',
    needs: 'none',
    samples: ['bash'],
  };
  static override args = {
    shell: Args.string({ required: true, options: [...shells], description: 'bash, zsh or fish' }),
  };

  async execute(): Promise<CompletionScript> {
    const { args } = await this.parse(Completion);
    const shell = args.shell as Shell;
    return { shell, script: scripts[shell] };
  }

  render({ script }: CompletionScript): Rendering {
    // A script, not a text to read: what a terminal gets is what the file would hold.
    return { text: script };
  }
}
