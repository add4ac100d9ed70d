/** Less is the second that the server's Date leaves out, and the answer's way. */
const toleratedMs = 2_000;

/**
 * How far this device's clock is ahead of the server's, ms, negative when behind: whatever the server
 * says of an end is meant by its own. `answeredAt` is the server's time at this moment.
 */
export function clockAheadMs(answeredAt: number): number {
  const ahead = Date.now() - answeredAt;
  return Math.abs(ahead) < toleratedMs ? 0 : ahead;
}
