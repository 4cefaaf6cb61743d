/**
 * An agent that calls a model until it is done: each turn is a step of two halves, since the loop belongs to the agent and not to
 * us. After a crash, or a failed attempt, finished turns come from their checkpoints and the model is asked only for the rest.
 */
import type { Absurd } from 'absurdctl';

export interface Message {
  role: 'user' | 'assistant' | 'tool';
  content: string;
}

/** One turn of a model: an answer, or a request to call a tool. */
export type Model = (
  conversation: readonly Message[],
  signal: AbortSignal,
) => Promise<{ content: string; tool?: string }>;

export interface AgentTools {
  model: Model;
  tools: Record<string, (conversation: readonly Message[]) => Promise<string>>;
}

const mostTurns = 20;

export function registerAgent(absurd: Absurd, { model, tools }: AgentTools): void {
  absurd.registerTask<{ prompt: string }, { answer: string; turns: number }>({ name: 'agent' }, async (params, ctx) => {
    const conversation: Message[] = [{ role: 'user', content: params.prompt }];
    for (let turn = 1; turn <= mostTurns; turn += 1) {
      // The same name each time: the checkpoints are called turn, turn#2, turn#3…
      const handle = await ctx.beginStep<Message[]>('turn');
      if (handle.done) {
        conversation.push(...handle.state);
      } else {
        const reply = await model(conversation, ctx.signal);
        const added: Message[] = [{ role: 'assistant', content: reply.content }];
        if (reply.tool !== undefined) {
          const call = tools[reply.tool];
          if (call === undefined) throw new Error(`The model asked for an unknown tool: ${reply.tool}`);
          added.push({ role: 'tool', content: await call(conversation) });
        }
        conversation.push(...(await ctx.completeStep(handle, added)));
      }
      const last = conversation.at(-1);
      if (last?.role === 'assistant') return { answer: last.content, turns: turn };
    }
    throw new Error(`No answer after ${mostTurns} turns`);
  });
}
