/**
 * An order: pay, wait up to a day for the parcel to be packed, ship or give the money back. While it waits, no worker holds it; the
 * warehouse wakes it with `emitEvent('packed:<order>', …)`.
 */
import { TimeoutError, type Absurd } from 'absurdctl';

export interface Order {
  id: string;
  amountCents: number;
}

export interface Shop {
  charge(order: Order, idempotencyKey: string): Promise<{ paymentId: string }>;
  refund(paymentId: string, idempotencyKey: string): Promise<void>;
  notify(order: Order, text: string): Promise<void>;
}

export type OrderResult = { state: 'shipped'; parcel: string } | { state: 'refunded' };

const packingSeconds = 24 * 60 * 60;

export function registerOrder(absurd: Absurd, shop: Shop): void {
  const options = { name: 'order', defaultMaxAttempts: 4, defaultCancellation: { maxDuration: 7 * packingSeconds } };
  absurd.registerTask<Order, OrderResult>(options, async (order, ctx) => {
    // The task's id stays the same over all attempts, so the payment provider sees one charge however often this line runs.
    const payment = await ctx.step('charge', () => shop.charge(order, `${ctx.taskID}:charge`));
    try {
      const packed = (await ctx.awaitEvent(`packed:${order.id}`, { timeout: packingSeconds })) as { parcel: string };
      await ctx.step('notify', () => shop.notify(order, `On its way: ${packed.parcel}`));
      return { state: 'shipped', parcel: packed.parcel };
    } catch (error) {
      // Only a timeout is ours to handle. Everything else, a suspension too, has to pass.
      if (!(error instanceof TimeoutError)) throw error;
      await ctx.step('refund', () => shop.refund(payment.paymentId, `${ctx.taskID}:refund`));
      return { state: 'refunded' };
    }
  });
}
