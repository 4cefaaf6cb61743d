import { Absurd } from 'absurd-sdk';
import { inParallel } from '../../lib/figures.mjs';
import { absurd } from './absurd.mjs';

// It has no call for many: as many at once as its pool has connections.
export default absurd(Absurd, (app, tasks) => inParallel(tasks, 10, (task) => app.spawn(task.name, task.params)));
