/** Cuts a stream of bytes into lines, and the lines into batches. The same bytes give the same batches, however they arrive. */
import { createHash, type Hash } from 'node:crypto';
import { usageError } from '../cli/errors.js';

export interface TextLine {
  /** From 1. */
  line: number;
  /** Trimmed, and not blank. */
  text: string;
}

export interface LineBatch {
  lines: TextLine[];
  /** The number of the line where it begins; that line may be blank. */
  from: number;
  /** A hash of all its bytes. */
  digest: string;
}

export interface BatchLimits {
  lines: number;
  /** A batch ends with the line that reaches this size. */
  bytes: number;
  /** The longest line. */
  lineBytes: number;
}

const newline = 0x0a;

export class LineBatches {
  private lines: TextLine[] = [];
  private bytes = 0;
  private hash: Hash = createHash('sha256');
  private from = 1;
  /** The number of the line that comes next. */
  private line = 1;
  /** The beginning of that line. */
  private begun: Buffer[] = [];
  private begunBytes = 0;

  constructor(private readonly limits: BatchLimits) {}

  /** The batches that these bytes complete. */
  *push(chunk: Buffer): Generator<LineBatch> {
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      this.begin(chunk.subarray(start, end + 1));
      start = end + 1;
      this.end();
      if (this.lines.length >= this.limits.lines || this.bytes >= this.limits.bytes) yield this.cut();
    }
    // A copy: the rest of a chunk must not keep all of it.
    if (start < chunk.length) this.begin(Buffer.from(chunk.subarray(start)));
  }

  /** The last batch; undefined if no line is left. */
  finish(): LineBatch | undefined {
    if (this.begunBytes > 0) this.end();
    return this.lines.length > 0 ? this.cut() : undefined;
  }

  private begin(part: Buffer): void {
    this.begun.push(part);
    this.begunBytes += part.length;
    const { lineBytes } = this.limits;
    if (this.begunBytes > lineBytes)
      throw usageError(`Line ${this.line} is longer than ${lineBytes / 1024 / 1024} MB`, 'a line is one task');
  }

  private end(): void {
    const [only] = this.begun;
    const bytes = this.begun.length === 1 && only !== undefined ? only : Buffer.concat(this.begun);
    this.begun = [];
    this.begunBytes = 0;
    this.hash.update(bytes);
    this.bytes += bytes.length;
    // String.trim removes a byte order mark, too.
    const text = bytes.toString('utf8').trim();
    if (text !== '') this.lines.push({ line: this.line, text });
    this.line += 1;
  }

  private cut(): LineBatch {
    const { lines, from } = this;
    const digest = this.hash.digest('base64');
    this.lines = [];
    this.bytes = 0;
    this.hash = createHash('sha256');
    this.from = this.line;
    return { lines, from, digest };
  }
}

/** The batches of a stream, each made when it is asked for. */
export async function* lineBatches(chunks: AsyncIterable<Buffer>, limits: BatchLimits): AsyncGenerator<LineBatch> {
  const batches = new LineBatches(limits);
  for await (const chunk of chunks) yield* batches.push(chunk);
  const last = batches.finish();
  if (last !== undefined) yield last;
}
