/**
 * Pickup in milliseconds, for queues whose policy announces new work by NOTIFY. One listener a process and connection string,
 * on a connection of its own; a worker rings when its queue is named. Polling goes on beneath: whatever is missed here is found
 * a poll later.
 */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { wakeupChannel, wakeupCheckChannel } from '../sql/description.js';
import { listenForWakeups, sendWakeupCheck } from '../sql/sdk-batch.js';
import { Address } from './database.js';
import { applicationName, processIdentity } from './identity.js';
import { pause } from './timing.js';
import type { SdkDatabase } from '../sql/sdk.js';

const checkTimeoutMs = 3000;
const connectTimeoutSeconds = 5;
const longestReconnectMs = 5000;

export class WakeupListener {
  private client: pg.Client | undefined;
  private readonly rings = new Map<string, Set<() => void>>();
  private readonly checks = new Map<string, () => void>();
  private readonly closing = new AbortController();
  private connecting: Promise<void> | undefined;

  private readonly address: Address;

  constructor(url: string) {
    this.address = new Address(url, applicationName('absurd-sdk', processIdentity()));
  }

  get idle(): boolean {
    return this.rings.size === 0;
  }

  /** Calls `ring` whenever that queue is announced, and after a reconnect; returns the way out. */
  subscribe(queueName: string, ring: () => void): () => void {
    const rings = this.rings.get(queueName) ?? new Set();
    this.rings.set(queueName, rings.add(ring));
    return () => {
      rings.delete(ring);
      if (rings.size === 0) this.rings.delete(queueName);
    };
  }

  /** Connects, and stays connected until closed; rejects when the first attempt fails. */
  connect(): Promise<void> {
    this.connecting ??= this.open().catch((error: unknown) => {
      this.connecting = undefined;
      throw error;
    });
    return this.connecting;
  }

  /** Sends a notification through the worker's own connection and tells whether it arrives here. */
  async check(sender: SdkDatabase, givingUp: AbortSignal): Promise<boolean> {
    const token = randomUUID();
    const arrived = new AbortController();
    this.checks.set(token, () => arrived.abort());
    try {
      await sendWakeupCheck(sender, token);
      await pause(checkTimeoutMs, AbortSignal.any([arrived.signal, givingUp]));
    } finally {
      this.checks.delete(token);
    }
    return arrived.signal.aborted;
  }

  async close(): Promise<void> {
    this.closing.abort();
    await this.client?.end().catch(() => undefined);
  }

  private async open(): Promise<void> {
    const { client } = await this.address.connect(connectTimeoutSeconds);
    client.on('notification', (message) => this.hear(message.channel, message.payload ?? ''));
    try {
      await listenForWakeups(client);
      if (this.closing.signal.aborted) throw new Error('no longer wanted');
    } catch (error) {
      await client.end().catch(() => undefined);
      throw error;
    }
    this.client = client;
    client.on('end', () => void this.reconnect());
    // What was announced while nobody listened is looked for now.
    for (const rings of this.rings.values()) for (const ring of rings) ring();
  }

  private async reconnect(): Promise<void> {
    for (let delayMs = 100; !this.closing.signal.aborted; delayMs = Math.min(delayMs * 2, longestReconnectMs)) {
      await pause(delayMs, this.closing.signal);
      if (this.closing.signal.aborted) return;
      try {
        return await this.open();
      } catch {
        // Polling carries the work meanwhile.
      }
    }
  }

  private hear(channel: string, payload: string): void {
    if (channel === wakeupCheckChannel) this.checks.get(payload)?.();
    else if (channel === wakeupChannel) for (const ring of this.rings.get(payload) ?? []) ring();
  }
}

const listeners = new Map<string, WakeupListener>();

/**
 * Subscribes to a queue's announcements, once a self-test through the worker's own connection has shown that they arrive.
 * @param givingUp ends the self-test early
 * @returns the way out
 * @throws what stands in the way; polling carries the work then
 */
export async function subscribeToWakeups(
  url: string,
  queueName: string,
  ring: () => void,
  sender: SdkDatabase,
  givingUp: AbortSignal,
): Promise<() => Promise<void>> {
  const listener = listeners.get(url) ?? new WakeupListener(url);
  listeners.set(url, listener);
  const unsubscribe = listener.subscribe(queueName, ring);
  const leave = async (): Promise<void> => {
    unsubscribe();
    if (!listener.idle || listeners.get(url) !== listener) return;
    listeners.delete(url);
    await listener.close();
  };
  try {
    await listener.connect();
    if (await listener.check(sender, givingUp)) return leave;
    throw new Error('a test notification did not arrive (a pooler in transaction mode may be in between)');
  } catch (error) {
    await leave();
    throw error;
  }
}
