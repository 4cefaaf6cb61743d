/** The web framework: one door to it, so that the bundle can keep it in a file of its own. */
export { createAdaptorServer, type HttpBindings } from '@hono/node-server';
export { Hono, type Context } from 'hono';
