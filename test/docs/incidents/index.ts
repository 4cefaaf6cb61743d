import { queueIncidents } from './queues.js';
import { taskIncidents } from './tasks.js';

export { startClock } from './stage.js';
export const incidents = [...taskIncidents, ...queueIncidents];
