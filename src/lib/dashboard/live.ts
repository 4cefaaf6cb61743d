/**
 * Follows views for browsers: each view is read once a round, however many follow it, and sent where its answer has changed. Rounds
 * keep a distance, and a longer one after slow answers: a busy database is not asked more often than it can answer.
 */

/** Reads a view; the text is the answer's JSON. */
export type ReadView = (path: string) => Promise<{ text: string; tookMs: number }>;

export interface Follower {
  /** Takes a piece of the stream; false where the browser no longer keeps up. */
  send(piece: string): boolean;
  end(): void;
}

interface Topic {
  followers: Set<Follower>;
  last: string | undefined;
  timer: NodeJS.Timeout | undefined;
  round: number;
}

export const roundMs = 2000;
/** After an answer that took long: this many times as long until the next question. */
const restFactor = 5;
const longestRestMs = 60_000;
/** A line without meaning, so that proxies keep a quiet stream open. */
const beatEveryRounds = 8;
const mostTopics = 100;
const mostFollowers = 500;

export class LiveHub {
  private readonly topics = new Map<string, Topic>();
  private closed = false;

  constructor(
    private readonly read: ReadView,
    /** An error as the API's JSON. */
    private readonly failureText: (error: unknown) => string,
    private readonly pauseMs = roundMs,
  ) {}

  /** False where there are too many already. */
  follow(path: string, follower: Follower): boolean {
    const followers = [...this.topics.values()].reduce((sum, topic) => sum + topic.followers.size, 0);
    const known = this.topics.get(path);
    if (this.closed || followers >= mostFollowers || (known === undefined && this.topics.size >= mostTopics))
      return false;
    const topic = known ?? { followers: new Set(), last: undefined, timer: undefined, round: 0 };
    topic.followers.add(follower);
    this.topics.set(path, topic);
    if (topic.last !== undefined) this.sendTo(path, topic, follower, message('answer', topic.last));
    if (known === undefined) void this.look(path, topic);
    return true;
  }

  leave(path: string, follower: Follower): void {
    const topic = this.topics.get(path);
    if (topic === undefined || !topic.followers.delete(follower) || topic.followers.size > 0) return;
    clearTimeout(topic.timer);
    this.topics.delete(path);
  }

  /** Looks at everything again now: something was changed. */
  hurry(): void {
    for (const [path, topic] of this.topics) {
      if (topic.timer === undefined) continue;
      clearTimeout(topic.timer);
      topic.timer = undefined;
      void this.look(path, topic);
    }
  }

  close(): void {
    this.closed = true;
    for (const topic of this.topics.values()) {
      clearTimeout(topic.timer);
      for (const follower of topic.followers) follower.end();
    }
    this.topics.clear();
  }

  /** One round, and the appointment for the next. */
  private async look(path: string, topic: Topic): Promise<void> {
    topic.timer = undefined;
    let restMs = this.pauseMs;
    try {
      const { text, tookMs } = await this.read(path);
      restMs = Math.min(Math.max(this.pauseMs, tookMs * restFactor), longestRestMs);
      if (text !== topic.last) this.broadcast(path, topic, message('answer', text));
      topic.last = text;
    } catch (error) {
      topic.last = undefined;
      this.broadcast(path, topic, message('failure', this.failureText(error)));
    }
    topic.round++;
    if (topic.round % beatEveryRounds === 0) this.broadcast(path, topic, ': still here\n\n');
    if (!this.closed && this.topics.get(path) === topic)
      topic.timer = setTimeout(() => void this.look(path, topic), restMs);
  }

  private broadcast(path: string, topic: Topic, piece: string): void {
    for (const follower of [...topic.followers]) this.sendTo(path, topic, follower, piece);
  }

  private sendTo(path: string, topic: Topic, follower: Follower, piece: string): void {
    if (follower.send(piece)) return;
    this.leave(path, follower);
    follower.end();
  }
}

/** JSON on one line is one line of the event. */
const message = (event: string, data: string): string => `event: ${event}\ndata: ${data}\n\n`;

/** What a browser may leave unread before its stream is ended; it connects again by itself. */
const mostUnread = 4_000_000;

/** The stream of one browser. */
export function streamOf(
  follow: (follower: Follower) => boolean,
  leave: (follower: Follower) => void,
): ReadableStream | undefined {
  const encoder = new TextEncoder();
  let follower: Follower | undefined;
  let accepted = false;
  const stream = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        let open = true;
        follower = {
          send(piece) {
            if (!open || (controller.desiredSize ?? 0) < -mostUnread) return false;
            controller.enqueue(encoder.encode(piece));
            return true;
          },
          end() {
            if (open) controller.close();
            open = false;
          },
        };
        controller.enqueue(encoder.encode('retry: 3000\n\n'));
        accepted = follow(follower);
      },
      cancel() {
        if (follower) leave(follower);
      },
    },
    { highWaterMark: 0, size: (piece) => piece?.byteLength ?? 0 },
  );
  return accepted ? stream : undefined;
}
