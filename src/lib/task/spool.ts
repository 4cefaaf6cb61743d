/** Bytes that are read twice: a file is read again, and a pipe is kept, in memory while it is small, else in a temporary file. */
import { mkdtemp, open, rm, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CliError, errorCode, notFound, usageError } from '../cli/errors.js';

export interface ReadTwice {
  /** The only reading: nothing is kept for a second one. */
  once(): AsyncIterable<Buffer>;
  /** The first reading; it must end before the second begins. */
  first(): AsyncIterable<Buffer>;
  /** The second reading. */
  again(): AsyncIterable<Buffer>;
  close(): Promise<void>;
}

type Chunks = AsyncIterable<Buffer | string>;

const toBuffer = (chunk: Buffer | string): Buffer => (typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** A pipe of up to this many bytes needs no file. */
const mostInMemory = 1024 * 1024;

async function* buffers(chunks: Chunks): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) yield toBuffer(chunk);
}

/** A file that only this user can read, and that no longer has a name where the system allows it: it cannot stay behind. */
class TemporaryFile {
  private constructor(
    readonly handle: FileHandle,
    private readonly folder: string,
  ) {}

  static async make(): Promise<TemporaryFile> {
    const folder = await mkdtemp(join(tmpdir(), 'absurdctl-'));
    try {
      const handle = await open(join(folder, 'input'), 'wx+', 0o600);
      // Windows removes it at the end.
      await rm(folder, { recursive: true, force: true }).catch(() => undefined);
      return new TemporaryFile(handle, folder);
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.handle.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}

class Spool implements ReadTwice {
  private held: Buffer[] = [];
  private size = 0;
  private file: TemporaryFile | undefined;

  constructor(
    private readonly source: Chunks,
    private readonly leave: () => Promise<void>,
  ) {}

  once(): AsyncIterable<Buffer> {
    return buffers(this.source);
  }

  async *first(): AsyncGenerator<Buffer> {
    for await (const chunk of buffers(this.source)) {
      await this.keep(chunk);
      yield chunk;
    }
  }

  async *again(): AsyncGenerator<Buffer> {
    if (this.file === undefined) yield* this.held;
    else yield* buffers(this.file.handle.createReadStream({ start: 0, autoClose: false }) as Chunks);
  }

  async close(): Promise<void> {
    await this.file?.close();
    await this.leave();
  }

  private async keep(chunk: Buffer): Promise<void> {
    this.size += chunk.length;
    this.held.push(chunk);
    if (this.size <= mostInMemory) return;
    try {
      this.file ??= await TemporaryFile.make();
      for (const one of this.held) await this.file.handle.writeFile(one);
    } catch (error) {
      throw new CliError(`Standard input cannot be kept in ${tmpdir()}: ${messageOf(error)}`, {
        code: 'spool_failed',
        hint: 'TMPDIR names another folder; a regular file needs none',
        cause: error,
      });
    }
    this.held = [];
  }
}

/** A pipe, kept while it is read. */
export const readPipeTwice = (source: Chunks): ReadTwice => new Spool(source, () => Promise.resolve());

/** A file by its path. The same file is read both times, whatever has the path by then. Raises a CliError if it cannot be read. */
export async function readFileTwice(path: string, typed: string): Promise<ReadTwice> {
  const unreadable = (error: unknown): Error =>
    errorCode(error) === 'ENOENT'
      ? notFound(`There is no file ${typed}`, undefined, 'file_not_found')
      : usageError(`${typed} cannot be read: ${messageOf(error)}`);
  const handle = await open(path).catch((error: unknown) => {
    throw unreadable(error);
  });
  const close = (): Promise<void> => handle.close();
  const read = async function* (): AsyncGenerator<Buffer> {
    try {
      yield* buffers(handle.createReadStream({ start: 0, autoClose: false }) as Chunks);
    } catch (error) {
      throw errorCode(error) === undefined ? error : unreadable(error);
    }
  };
  if ((await handle.stat()).isFile()) return { once: read, first: read, again: read, close };
  // A named pipe, or the shell's <(…). It has no positions to read from.
  return new Spool(handle.createReadStream({ autoClose: false }) as Chunks, close);
}
