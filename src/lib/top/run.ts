/** Runs the screen of `top`: keys and answers go into the reducer, its effects to the database and the terminal. */
import { render, useInput, type Instance, type Key as InkKey } from 'ink';
import { createElement as h, type ReactElement } from 'react';
import type { State, TopOptions, TopPort } from './model.js';
import { Screen } from './screen.js';
import { initialState, reduce, requestOf, sameRequest, type Effect, type Event, type Key } from './state.js';
import { AlternateScreen, clear } from './terminal.js';

const named: readonly (readonly [keyof InkKey, Key['name']])[] = [
  ...([
    ['upArrow', 'up'],
    ['downArrow', 'down'],
    ['leftArrow', 'left'],
    ['rightArrow', 'right'],
  ] as const),
  ...([
    ['return', 'enter'],
    ['escape', 'esc'],
    ['pageUp', 'pageup'],
    ['pageDown', 'pagedown'],
  ] as const),
  ...([
    ['home', 'home'],
    ['end', 'end'],
    ['backspace', 'backspace'],
    ['delete', 'backspace'],
  ] as const),
];

/** What was typed, key by key: several may arrive at once. */
function keysOf(input: string, key: InkKey): Key[] {
  const [, name] = named.find(([member]) => key[member] === true) ?? [];
  if (name !== undefined) return [{ name }];
  if (key.ctrl) return [{ name: 'char', text: input, ctrl: true }];
  if (key.meta) return [];
  return [...input].flatMap((text): Key[] => {
    if (text === '\r' || text === '\n') return [{ name: 'enter' }];
    if (text === '\u001b') return [{ name: 'esc' }];
    if (text === '\u007f' || text === '\b') return [{ name: 'backspace' }];
    return text < ' ' ? [] : [{ name: 'char', text }];
  });
}

function App({ state, colour, onKey }: { state: State; colour: boolean; onKey: (key: Key) => void }): ReactElement {
  useInput((input, key) => keysOf(input, key).forEach(onKey));
  return h(Screen, { state, colour });
}

class Top {
  private state: State;
  private instance: Instance | undefined;
  private readonly screen: AlternateScreen;
  private looking = false;
  private again = false;
  private timer: NodeJS.Timeout | undefined;
  private ended = false;
  private finish: (outcome: { error?: unknown; interrupted: boolean }) => void = () => undefined;

  constructor(
    private readonly port: TopPort,
    private readonly options: TopOptions,
    private readonly stdin: NodeJS.ReadStream,
    private readonly stdout: NodeJS.WriteStream,
  ) {
    this.state = initialState(options.start, { ...this.size(), ...options });
    this.screen = new AlternateScreen(stdout);
  }

  /** Until the person quits; true where a signal or Ctrl-C ended it. */
  async run(onInterrupt: (stop: () => void) => () => void): Promise<boolean> {
    const resized = (): void => {
      this.stdout.write(clear);
      this.dispatch({ type: 'resized', ...this.size() });
    };
    const interrupt = (): void => this.finish({ interrupted: true });
    const stopped = (): void => this.suspend();
    const continued = (): void => this.redraw();
    const unwatch = onInterrupt(interrupt);
    process.on('SIGHUP', interrupt).on('SIGTSTP', stopped).on('SIGCONT', continued);
    this.stdout.on('resize', resized);
    try {
      return await new Promise<boolean>((resolve, reject) => {
        this.finish = ({ error, interrupted }) => {
          if (error === undefined) resolve(interrupted);
          else reject(error instanceof Error ? error : new Error('drawing failed', { cause: error }));
        };
        this.screen.enter();
        this.mount();
        this.look();
      });
    } finally {
      this.ended = true;
      clearTimeout(this.timer);
      unwatch();
      process.off('SIGHUP', interrupt).off('SIGTSTP', stopped).off('SIGCONT', continued);
      this.stdout.off('resize', resized);
      this.unmount();
      this.screen.dispose();
    }
  }

  private size(): { columns: number; rows: number } {
    return { columns: this.stdout.columns || 80, rows: this.stdout.rows || 24 };
  }

  private tree(): ReactElement {
    return h(App, {
      state: this.state,
      colour: this.options.colour,
      onKey: (key) => this.dispatch({ type: 'key', key }),
    });
  }

  private mount(): void {
    const { stdin, stdout } = this;
    const instance = render(this.tree(), { stdin, stdout, exitOnCtrlC: false, patchConsole: false });
    this.instance = instance;
    // Ink ends by itself only where drawing failed.
    instance.waitUntilExit().catch((error: unknown) => this.finish({ error, interrupted: false }));
  }

  private unmount(): void {
    const { instance } = this;
    this.instance = undefined;
    instance?.unmount();
  }

  private dispatch(event: Event): void {
    if (this.ended) return;
    try {
      const { state, effects } = reduce(this.state, event);
      this.state = state;
      this.instance?.rerender(this.tree());
      for (const effect of effects) this.act(effect);
    } catch (error) {
      this.finish({ error, interrupted: false });
    }
  }

  private act(effect: Effect): void {
    switch (effect.type) {
      case 'look':
        return this.look();
      case 'quit':
        return this.finish({ interrupted: false });
      case 'interrupt':
        return this.finish({ interrupted: true });
      case 'suspend':
        return this.suspend();
      case 'preview':
        return this.ask(this.port.preview(effect.action), (preview) => ({ type: 'previewed', preview }));
      case 'perform':
        return this.ask(this.port.perform(effect.action), (text) => ({ type: 'performed', text }));
    }
  }

  private ask<T>(answer: Promise<T>, event: (answer: T) => Event): void {
    answer
      .then(event, async (error: unknown): Promise<Event> => ({
        type: 'refused',
        error: await this.port.explain(error),
      }))
      .then(
        (next) => this.dispatch(next),
        (error: unknown) => this.finish({ error, interrupted: false }),
      );
  }

  /** One look at a time: one that is asked for meanwhile follows the one in progress. */
  private look(): void {
    if (this.looking) {
      this.again = true;
      return;
    }
    clearTimeout(this.timer);
    this.looking = true;
    const request = requestOf(this.state);
    this.port
      .look(request)
      .then(
        (look): Event => ({ type: 'looked', request, look, at: new Date() }),
        async (error: unknown): Promise<Event> => ({
          type: 'look-failed',
          request,
          error: await this.port.explain(error),
        }),
      )
      .then(
        (event) => {
          this.looking = false;
          if (this.ended) return;
          this.dispatch(event);
          const late = this.again || !sameRequest(request, requestOf(this.state));
          this.again = false;
          this.timer = setTimeout(() => this.look(), late ? 0 : this.options.intervalMs);
        },
        (error: unknown) => this.finish({ error, interrupted: false }),
      );
  }

  private suspend(): void {
    if (this.ended) return;
    this.unmount();
    this.screen.leave();
    const listeners = process.listeners('SIGTSTP');
    process.removeAllListeners('SIGTSTP');
    // Stops here, and continues here. Where there is no shell to continue it, the system does not stop it.
    process.kill(process.pid, 'SIGTSTP');
    for (const listener of listeners) process.on('SIGTSTP', listener);
    setImmediate(() => this.redraw());
  }

  /** After a stop, the terminal may hold anything. */
  private redraw(): void {
    if (this.ended) return;
    this.unmount();
    this.screen.leave();
    this.screen.enter();
    this.state = { ...this.state, size: { ...this.size() } };
    this.mount();
  }
}

/** Resolves when the person quits; true where Ctrl-C or a signal ended it. The terminal is as it was before, whatever happened. */
export const runTop = (
  port: TopPort,
  options: TopOptions,
  onInterrupt: (stop: () => void) => () => void,
): Promise<boolean> => new Top(port, options, process.stdin, process.stdout).run(onInterrupt);
