import type { TaskContext } from './context.js';
import type { AbsurdHooks } from './types.js';

/**
 * The program's hooks, with checks around `wrapTaskExecution`: a run is executed once, the hook waits for its end, and
 * a hook that returns without executing the run fails it, since otherwise only its lease would end it.
 */
export function guardedHooks(hooks: AbsurdHooks): AbsurdHooks {
  const wrap = hooks.wrapTaskExecution;
  if (wrap === undefined) return hooks;
  return {
    ...hooks,
    async wrapTaskExecution<T>(ctx: TaskContext, execute: () => Promise<T>): Promise<T> {
      let execution: Promise<T> | undefined;
      const executeOnce = (): Promise<T> => {
        execution ??= execute();
        execution.catch(() => undefined);
        return execution;
      };
      const result = await wrap.call(hooks, ctx, executeOnce);
      if (execution === undefined) throw new Error('hooks.wrapTaskExecution returned without calling execute');
      await execution;
      return result as T;
    },
  };
}
