import { graphile } from './graphile.mjs';

export default graphile({});
