/**
 * What every command stands on. A command is a class with oclif's static summary, description, examples, args and flags,
 * and two methods:
 *
 *   execute()            parse, one call into src/sql, return typed data
 *   render(result, ctx)  that data as a Rendering (lib/cli/output.ts), purely
 *
 * The base draws the answer in the mode asked for (-o, --json), turns an error into its exit code, and closes the
 * connection. A command reads with `this.read(db => …)` (one read-only transaction with a time limit), writes with
 * `this.write(db => …)` (one transaction that waits for locks no longer than ten seconds), and throws CliError for what a user did or should know.
 */
import { Command } from '@oclif/core/command';
import type { Config } from '@oclif/core/config';
import type { Input, ParserOutput } from '@oclif/core/interfaces';
import { QueueReader, type SkippedQueue } from '../../sql/each-queue.js';
import type { Queryable } from '../../sql/queryable.js';
import type { Database, Touched, WriteOptions } from '../connection/database.js';
import type { ConnectionFlags, Settings } from '../../connection/settings.js';
import { maskPasswords } from '../../connection/uri.js';
import { dbFlags, outputFlags } from './common-flags.js';
import { changes, needOf, type CommandAbout } from './declaration.js';
import { exit, interrupted, type CliError } from './errors.js';
import { explainError } from './explain.js';
import { harmless } from './format/text.js';
import { adviceText, type Advice, type CommandFlags, type Place } from './hint.js';
import { takesUnicode, type Io } from './io.js';
import { queuesToLookIn } from '../task/find-task.js';
import { show, type Mode, type RenderContext, type Rendering } from './output.js';
import type { OperationLog } from '../operations/log.js';
import { reportError } from './report.js';
import { asksForJson, parseError } from './parse-error.js';
import { refuseEmpty, shield, unshield } from './words.js';

export { changeFlags, dbFlags, queueFlag } from './common-flags.js';

/** oclif's Command reads only these from its config; loading a real config would read folders at every start. */
const config = {
  bin: 'absurdctl',
  runHook: () => Promise.resolve({ successes: [], failures: [] }),
  scopedEnvVar: () => undefined,
} as unknown as Config;

/** How long a write waits for a lock. */
export const patienceMs = 10_000;

type Values = Record<string, unknown>;

interface ParsedFlags extends ConnectionFlags {
  output?: Mode;
  json?: boolean;
  'no-pager'?: boolean;
  queue?: string;
  reason?: string;
}

/** A command as the program knows it: its description, and its class. */
export interface CommandClass extends CommandAbout {
  new (argv: string[], io: Io): BaseCommand<unknown>;
}

export abstract class BaseCommand<T> extends Command {
  static override baseFlags = outputFlags;

  private parsedFlags: ParsedFlags = {};
  private parsedArgs: Record<string, unknown> = {};
  private ownPlace: string | undefined;
  private database: Promise<Database> | undefined;
  private resolved: Promise<Settings> | undefined;
  /** Queues that the latest read had to skip. */
  private skipped: SkippedQueue[] = [];
  private skippedSaid: SkippedQueue[] | undefined;
  /** Records the operation of a command that changes something. */
  private operations: OperationLog | undefined;

  constructor(
    argv: string[],
    protected readonly io: Io,
  ) {
    super(argv, config);
  }

  /** Does the work and returns what to show. Called once. */
  abstract execute(): Promise<T>;

  /** Renders the result. Pure: no I/O, no clock but `context.now`. */
  abstract render(result: T, context: RenderContext): Rendering;

  /** Runs the command and returns its exit code; never throws. */
  override async run(): Promise<number> {
    if (changes(this.about(), this.argv)) this.io.outlivesReader?.();
    try {
      const result = await this.execute();
      await this.show(result, this.pagingIo());
      const code = this.exitCode(result);
      return code === exit.done && this.skipped.length > 0 ? exit.failed : code;
    } catch (error) {
      const explained = await this.explain(error, await this.database?.catch(() => undefined));
      reportError(this.io, explained, asksForJson(this.argv, this.mode()), this.place());
      return explained.exitCode;
    } finally {
      await this.closeDatabase();
    }
  }

  /** The exit code of a successful run: 0, unless the command overrides it (6: the awaited task failed). */
  protected exitCode(_result: T): number {
    return exit.done;
  }

  /** Parses the command line; raises CliError with exit code 2 if it is wrong. Never reads standard input for it. */
  protected override async parse<F extends Values, B extends Values, A extends Values>(
    options?: Input<F, B, A>,
    argv = this.argv,
  ): Promise<ParserOutput<F, B, A>> {
    const input = options ?? (this.ctor as unknown as Input<F, B, A>);
    for (const arg of Object.values<{ ignoreStdin?: boolean }>(input.args ?? {})) arg.ignoreStdin = true;
    try {
      const parsed = await super.parse<F, B, A>(input, shield(argv));
      for (const [name, value] of Object.entries(parsed.flags))
        Object.assign(parsed.flags, { [name]: unshield(value) });
      refuseEmpty(parsed);
      this.parsedFlags = parsed.flags;
      this.parsedArgs = parsed.args;
      return parsed;
    } catch (error) {
      throw parseError(unshield(error), this.about(), argv);
    }
  }

  /** The connection, opened on first use and closed by the base. */
  protected async db(): Promise<Database> {
    this.database ??= this.openRecorded();
    const database = await this.database;
    await this.operations?.check(database);
    return database;
  }

  /** Every command with --reason is recorded, unless this command line changes nothing. */
  private async openRecorded(): Promise<Database> {
    const database = await this.openDatabase();
    const about = this.about();
    if (about.flags?.reason === undefined || !changes(about, this.argv)) return database;
    const { OperationLog: Log } = await import('../operations/log.js');
    const { parsedFlags, parsedArgs, argv, io } = this;
    const queue = parsedArgs.queue ?? parsedFlags.queue;
    this.operations ??= new Log({
      command: about.id,
      argv,
      reason: parsedFlags.reason,
      queue: typeof queue === 'string' ? queue : undefined,
      env: io.env,
      bringsSchema: about.declares.bringsSchema === true,
    });
    database.recorder = this.operations;
    return database;
  }

  /** Runs `work` in one read-only transaction with a statement timeout (30 s unless given). */
  protected async read<R>(work: (db: Queryable) => Promise<R>, timeoutMs?: number): Promise<R> {
    return (await this.db()).read(work, timeoutMs);
  }

  /** Like `read`, but cheap on a queue of any size: it reads ranges of indexes, never whole tables. */
  protected async readRanges<R>(work: (db: Queryable) => Promise<R>, timeoutMs?: number): Promise<R> {
    return (await this.db()).readRanges(work, timeoutMs);
  }

  /**
   * Like `readRanges`, over the named queue or all queues. It skips a queue that another session has locked or that
   * this role may not read: a note says so, and the exit code is 1. If every queue is skipped, it raises that error.
   */
  protected async readQueues<R>(
    queue: string | undefined,
    work: (reader: QueueReader, queues: string[]) => Promise<R>,
    timeoutMs?: number,
  ): Promise<R> {
    return this.readRanges(async (db) => {
      const reader = new QueueReader(db);
      this.skipped = reader.skipped;
      const queues = await queuesToLookIn(db, queue);
      const answer = await work(reader, queues);
      reader.finish(queues);
      return answer;
    }, timeoutMs);
  }

  /** Forgets the skipped queues of the previous read. */
  protected skipNone(): void {
    this.skipped = [];
  }

  /** Adds to the skipped queues. */
  protected skip(skipped: readonly SkippedQueue[]): void {
    this.skipped = [...this.skipped, ...skipped];
  }

  /**
   * Runs `work` in one transaction. It fails if another session holds a lock for longer than `lockTimeoutMs` (default:
   * ten seconds): workers release their locks within moments, forgotten sessions never. `touched` returns what the
   * work changed, for the record of the operation.
   */
  protected async write<R>(work: (db: Queryable) => Promise<R>, options: WriteOptions<R> = {}): Promise<R> {
    return (await this.db()).transaction(work, { lockTimeoutMs: patienceMs, ...options });
  }

  /** For work that takes many transactions: every statement is a `write` of its own. */
  protected eachWrite(touched?: (rows: readonly object[]) => Touched | readonly Touched[]): Queryable {
    return {
      query: (sql, values) =>
        this.write((db) => db.query(sql, values), touched && { touched: ({ rows }) => touched(rows) }),
    };
  }

  /** After a filter on an unknown name found nothing: suggests a similar name that exists. */
  protected async suggestName(
    kind: 'task' | 'event',
    name: string | undefined,
    queue: string | undefined,
  ): Promise<void> {
    if (name === undefined) return;
    const { suggestEvent, suggestTask } = await import('../task/suggest-name.js');
    const suggest = kind === 'task' ? suggestTask : suggestEvent;
    const said = await this.readRanges((db) => suggest(db, queue, name));
    if (said !== undefined) this.note(said);
  }

  /**
   * Prints a result now. The base does it with what `execute` returns; a command that watches calls it after each
   * read.
   */
  protected async show(result: T, io = this.io): Promise<void> {
    const { outTty: tty, width } = io;
    const place = this.place();
    const next = (advice: Advice): string => adviceText(advice, place);
    const context = { tty, width, unicode: takesUnicode(io), now: this.io.now(), mode: this.mode(), next };
    const drawn = await this.unfiltered(this.render(result, context));
    const rendering = {
      ...drawn,
      warning: [...(drawn.warning ?? []), ...(await this.skippedNotes()), ...(this.operations?.advice() ?? [])],
    };
    await show(io, this.mode(), rendering, result, next);
  }

  /** If row-level security hides rows, an empty answer must say only that. */
  private async unfiltered(drawn: Rendering): Promise<Rendering> {
    const { table, foundNothing } = drawn;
    const database = await this.database?.catch(() => undefined);
    const empty = table?.empty !== undefined && table.rows.length === 0;
    if (database === undefined || !(empty || foundNothing)) return drawn;
    const { readFiltered } = await import('../../sql/row-security.js');
    const hidden = await database.read(readFiltered).catch(() => null);
    if (hidden === null) return drawn;
    const { filteredHint } = await import('../grants/hint.js');
    const hint = filteredHint(hidden, this.ctor.id);
    if (!empty) return { ...drawn, warning: [...(drawn.warning ?? []), hint] };
    return { ...drawn, note: undefined, table: { ...table, empty: hint } };
  }

  /**
   * Shows what `look` finds until Ctrl-C, or until it is over. On a terminal each answer replaces the previous one and
   * is cut to the window.
   */
  protected async watch(look: () => Promise<T>, isOver: (result: T) => boolean = () => false): Promise<T> {
    const { catching, fitted, watchPauseMs } = await import('./watch.js');
    for (;;) {
      const result = await look();
      if (isOver(result)) return result;
      const { io, look: seen } = catching(this.io);
      this.skippedSaid = undefined;
      await this.show(result, this.io.outTty ? io : this.io);
      if (this.io.outTty)
        this.io.out(fitted(seen, { now: this.io.now(), width: this.io.width, height: this.io.height }));
      await this.pause(watchPauseMs);
    }
  }

  /** The terminal, with a pager for answers that are longer than its window. */
  private pagingIo(): Io {
    const { io } = this;
    const { height } = io;
    if (!io.outTty || !io.inTty || io.page === undefined || height === undefined || this.parsedFlags['no-pager'])
      return io;
    const page = async (text: string): Promise<boolean> => {
      // Do not keep a connection open while somebody reads.
      await this.closeDatabase();
      return (await io.page?.(text)) ?? false;
    };
    return Object.create(io, { pageOver: { value: height }, page: { value: page } }) as Io;
  }

  /** The output format. */
  protected mode(): Mode {
    return this.parsedFlags.json ? 'json' : (this.parsedFlags.output ?? 'table');
  }

  /** Prints a note on standard error while the command runs; not with JSON. */
  protected note(advice: Advice): void {
    if (!asksForJson(this.argv, this.mode())) this.io.err(`${harmless(adviceText(advice, this.place()))}\n`);
  }

  /**
   * The flags of this command line, without those that name the database, the output, or one of `except`: to print the
   * command again.
   */
  protected typedFlags(except: readonly string[]): CommandFlags {
    const { flags = {} } = this.about();
    const apart = new Set([...Object.keys(dbFlags), ...Object.keys(outputFlags), ...except]);
    const typed: Record<string, CommandFlags[string]> = {};
    for (const [name, value] of Object.entries(this.parsedFlags as Record<string, unknown>)) {
      if (apart.has(name) || value === false || value === undefined || value === flags[name]?.default) continue;
      if (value === true || typeof value === 'number' || typeof value === 'string') typed[name] = value;
      else if (Array.isArray(value)) typed[name] = name === 'where' ? value.map(String) : value.join(',');
    }
    return typed;
  }

  /** Waits; Ctrl-C ends the wait with exit code 130. */
  protected async pause(ms: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        stop();
        resolve();
      }, ms);
      const stop = this.io.onInterrupt(() => {
        clearTimeout(timer);
        stop();
        reject(interrupted());
      });
    });
  }

  /** Opens another connection to the same database; the caller closes it. */
  protected async openDatabase(): Promise<Database> {
    const { Database: Opened } = await import('../connection/database.js');
    return Opened.open(await this.settings(), this.io);
  }

  /** The flags that name the database, for a command whose --port is another one. */
  protected connectionFlags = (): ConnectionFlags => this.parsedFlags;

  /** The flags that named the database: suggested commands must reach the same one. */
  protected place(): Place {
    const { database, host, port, user } = this.connectionFlags();
    return { database: database === undefined ? undefined : maskPasswords(database), host, port, user };
  }

  /** Connects to that address and ignores the environment: for a command that chooses its own database. */
  protected useDatabase(address: string): void {
    this.ownPlace = address;
  }

  /** Where and how to connect, decided once. */
  protected settings(): Promise<Settings> {
    this.resolved ??= this.resolve();
    return this.resolved;
  }

  private async resolve(): Promise<Settings> {
    const { resolveSettings, describeSettings } = await import('../connection/resolve.js');
    const flags = { ...this.connectionFlags(), ...(this.ownPlace !== undefined && { database: this.ownPlace }) };
    const { env, cwd } = this.io;
    const settings = await resolveSettings(flags, { env, cwd, applicationName: this.sessionName().slice(0, 63) });
    if (this.parsedFlags.verbose) this.io.err(`${harmless(describeSettings(settings), { lines: true })}\n`);
    return settings;
  }

  /** The name of our sessions in pg_stat_activity, unless PGAPPNAME or the address sets another. */
  protected sessionName(): string {
    return `absurdctl ${this.ctor.id}`;
  }

  /** Closes the connection now; the next `db()` opens another. */
  protected async closeDatabase(): Promise<void> {
    const database = await this.database?.catch(() => undefined);
    this.database = undefined;
    await database?.close();
  }

  /** What went wrong on a connection, in a user's words. */
  protected explain(error: unknown, database: Database | undefined): Promise<CliError> {
    const queue = this.parsedArgs.queue ?? this.parsedFlags.queue;
    return explainError(error, database, {
      queue: typeof queue === 'string' ? queue : undefined,
      need: needOf(this.about(), this.argv),
      command: this.ctor.id,
    });
  }

  private about = (): CommandAbout => this.ctor as unknown as CommandAbout;

  private async skippedNotes(): Promise<Advice[]> {
    if (this.skipped.length === 0 || this.skippedSaid === this.skipped) return [];
    this.skippedSaid = this.skipped;
    const { skippedNotes } = await import('./skipped.js');
    return skippedNotes(this.skipped, await this.db(), needOf(this.about(), this.argv));
  }
}
