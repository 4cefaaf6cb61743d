import * as Flags from '@oclif/core/flags';
import { BaseCommand } from './base-command.js';
import { modes, type Mode } from './output.js';

/** A command that can also answer as metrics: `-o openmetrics`. */
export abstract class MetricsCommand<T> extends BaseCommand<T> {
  static override baseFlags = {
    ...BaseCommand.baseFlags,
    output: Flags.string({
      char: 'o',
      options: [...modes, 'openmetrics'],
      helpValue: 'FORMAT',
      helpGroup: 'OUTPUT',
      description: 'how to print the answer',
    }),
  };

  /** Metrics are printed unchanged. */
  protected override mode(): Mode {
    const mode: string = super.mode();
    return mode === 'openmetrics' ? 'table' : super.mode();
  }
}
