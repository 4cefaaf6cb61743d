/** The terminal around the screen: its second buffer while the screen is up, and as it was in every other case. */

const enter = '\u001b[?1049h\u001b[2J\u001b[H';
const leave = '\u001b[?1049l\u001b[?25h';
export const clear = '\u001b[2J\u001b[H';

export class AlternateScreen {
  private up = false;
  private readonly atExit = (): void => this.leave();

  constructor(private readonly stdout: NodeJS.WriteStream) {
    // Whatever ends the process, even an error that nothing catches.
    process.on('exit', this.atExit);
  }

  enter(): void {
    if (this.up) return;
    this.up = true;
    this.stdout.write(enter);
  }

  leave(): void {
    if (!this.up) return;
    this.up = false;
    this.stdout.write(leave);
  }

  dispose(): void {
    this.leave();
    process.off('exit', this.atExit);
  }
}
