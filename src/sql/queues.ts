export { listQueueNames } from './schema.js';

/** One queue by name. */
export interface QueueName {
  queue_name: string;
}
