import { absurd } from './absurd.mjs';
import { Absurd } from '../../../dist/sdk/index.js';

export default absurd(Absurd, (app, tasks) => app.spawnMany(tasks));
