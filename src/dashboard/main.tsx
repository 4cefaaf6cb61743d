import { render } from 'preact';

render(<main>absurdctl</main>, document.getElementById('app') as HTMLElement);
