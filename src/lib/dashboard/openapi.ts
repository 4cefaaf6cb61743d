/** The API's description, from the routes themselves. docs/dashboard-api.json is this text; a test compares the two. */
import { actions, type Action } from './actions.js';
import { schemas, type Schema } from './schemas.js';
import { views, type View } from './views.js';

interface Operation {
  summary: string;
  parameters?: unknown[];
  requestBody?: unknown;
  responses: Record<string, unknown>;
}

const content = (name: string) => ({
  content: { 'application/json': { schema: { $ref: `#/components/schemas/${name}` } } },
});
const error = { description: 'Refused or failed', ...content('Error') };

const partsOf = (parts: Readonly<Record<string, string>> | undefined) =>
  Object.entries(parts ?? {}).map(([name, description]) => ({
    name,
    in: 'path',
    required: true,
    description,
    schema: { type: 'string' },
  }));

function viewOf({ summary, parts, parameters, answer }: View): Operation {
  const query = Object.entries(parameters).map(([name, { type, description, values, list, default: fallback }]) => {
    const one: Schema & { default?: unknown } = { type, ...(values && { enum: values }), default: fallback };
    return {
      name,
      in: 'query',
      description,
      schema: list ? { type: 'array', items: one } : one,
      ...(list && { style: 'form', explode: false }),
    };
  });
  return {
    summary,
    parameters: [...partsOf(parts), ...query],
    responses: { '200': { description: summary, ...content(answer) }, default: error },
  };
}

function actionOf({ summary, parts, members, answer }: Action): Operation {
  const properties = {
    ...members,
    dry_run: { type: 'boolean', description: 'say what would happen, and change nothing' },
    reason: { type: 'string', description: 'why, for the record of operations' },
  };
  return {
    summary: `${summary} (with --allow-actions)`,
    parameters: partsOf(parts),
    requestBody: { content: { 'application/json': { schema: { type: 'object', properties } } } },
    responses: {
      '200': {
        description: 'What was done, or with dry_run what would be',
        content: {
          'application/json': {
            schema: { anyOf: [answer, 'Preview'].map((name) => ({ $ref: `#/components/schemas/${name}` })) },
          },
        },
      },
      default: error,
    },
  };
}

/** Routes that are no views: what they answer is of their own kind. */
const others: Record<string, { get: Operation }> = {
  '/api/session': {
    get: {
      summary: 'What this dashboard is, and what it allows',
      responses: { '200': { description: 'The session', ...content('Session') }, default: error },
    },
  },
  '/api/live': {
    get: {
      summary: 'Follow a view: its answer as a server-sent event, at first and whenever it changes',
      parameters: [
        {
          name: 'of',
          in: 'query',
          required: true,
          description: 'the path of the view with its parameters, such as /api/tasks?state=failed',
          schema: { type: 'string' },
        },
      ],
      responses: {
        '200': {
          description: 'Events "answer" and "failure"',
          content: { 'text/event-stream': { schema: { type: 'string' } } },
        },
        default: error,
      },
    },
  },
  '/api/openapi.json': {
    get: {
      summary: 'This description',
      responses: {
        '200': { description: 'OpenAPI 3.1', content: { 'application/json': { schema: { type: 'object' } } } },
      },
    },
  },
  '/metrics': {
    get: {
      summary: 'Metrics in the OpenMetrics format, the findings of doctor among them',
      responses: {
        '200': { description: 'Metrics', content: { 'application/openmetrics-text': { schema: { type: 'string' } } } },
        default: error,
      },
    },
  },
  '/healthz': {
    get: {
      summary: 'Whether the database answers; needs no token',
      responses: {
        '200': { description: 'It does', content: { 'text/plain': { schema: { type: 'string' } } } },
        '503': { description: 'It does not', content: { 'text/plain': { schema: { type: 'string' } } } },
      },
    },
  },
};

export function openApi(version: string): object {
  const paths: Record<string, Record<string, Operation>> = {};
  for (const view of views) paths[view.path] = { get: viewOf(view) };
  for (const action of actions) paths[action.path] = { ...paths[action.path], post: actionOf(action) };
  return {
    openapi: '3.1.0',
    info: {
      title: 'absurdctl dashboard',
      version,
      description: 'What the pages of absurdctl dashboard read and do. Send the token as Authorization: Bearer TOKEN.',
    },
    security: [{ token: [] }],
    paths: { ...paths, ...others },
    components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } }, schemas },
  };
}
