import { graphile } from './graphile.mjs';

export default graphile({ localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 });
