/**
 * Detects whether the code of a task has changed since its first attempts. Checkpoints outlive a deployment: a renamed
 * step runs again, and a step that changed places gets the checkpoint of another.
 */
import type { Peer } from '../../sql/diagnosis-past.js';
import { inferred, known, type Evidence, type TaskSubject } from './cause.js';
import { quoted } from './words.js';

export interface CodeChange {
  /** The latest attempt with the old code. */
  attempt: number;
  sentence: string;
  /** The first step that the new code has to run again. */
  step?: string;
  evidence: Evidence[];
}

/** Names numbered by a loop are one step. */
const plain = (name: string): string => name.replace(/\d+/g, '#');
const isStep = (name: string): boolean => !name.startsWith('$');
const words = (name: string): string[] => name.toLowerCase().split(/[^\p{L}\p{N}]+/u);

/** One name contains all words of the other: `fetch` and `fetch-document`. */
function isSimilar(a: string, b: string): boolean {
  const [short, long] = [words(a), words(b)].sort((left, right) => left.length - right.length);
  return plain(a) !== plain(b) && (short ?? []).every((word) => word !== '' && long?.includes(word) === true);
}

/**
 * Null without evidence of a change: two attempts must have failed, and other tasks of the name must have saved steps
 * since.
 */
export function findChange(subject: TaskSubject): CodeChange | null {
  const { runs, checkpoints, past } = subject;
  if (runs.filter((run) => run.state === 'failed').length < 2) return null;
  const steps = checkpoints.filter(({ checkpoint_name: name }) => isStep(name));
  const [first] = steps;
  if (first === undefined) return null;
  const attempt = past.owners.get(first.owner_run_id ?? '') ?? 1;
  const old = steps.filter((step) => (past.owners.get(step.owner_run_id ?? '') ?? 1) === attempt);
  const later = steps.filter((step) => (past.owners.get(step.owner_run_id ?? '') ?? 1) > attempt);
  const since = Math.max(...old.map(({ updated_at }) => updated_at));
  // Other tasks of the name that saved steps later ran the later code.
  const peers = past.peers.filter((peer) => (peer.first_step_at ?? 0) > since && peer.steps.length > 0);
  const names = (list: typeof steps): string[] => [...new Set(list.map((step) => step.checkpoint_name))];
  return renamed(attempt, names(old), names(later), peers) ?? reordered(attempt, names(old), peers);
}

function renamed(attempt: number, old: string[], later: string[], peers: Peer[]): CodeChange | null {
  const inPeers = (name: string): number =>
    peers.filter(({ steps }) => steps.some((step) => plain(step) === plain(name))).length;
  for (const was of old) {
    if (peers.length > 0 && inPeers(was) > 0) continue;
    const ofPeers = [...new Set(peers.flatMap(({ steps }) => steps))].filter((name) => isStep(name));
    const now =
      later.find((name) => isSimilar(was, name) && (peers.length === 0 || inPeers(name) > 0)) ??
      ofPeers.find((name) => !old.includes(name) && isSimilar(was, name));
    if (now === undefined) continue;
    const byItself = later.includes(now);
    const runs = byItself ? 'later attempts run' : 'tasks of its name since then run';
    return {
      attempt,
      step: was,
      sentence: `it recorded ${quoted(was)}, ${runs} ${quoted(now)}`,
      evidence: [
        known('recorded by the old code', old.slice(0, 5).map(quoted).join(', ')),
        ...(byItself ? [known('recorded since', later.slice(0, 5).map(quoted).join(', '))] : []),
        peers.length > 0
          ? known(
              'others of its name',
              `${inPeers(now)} of ${peers.length} since then recorded ${quoted(now)}, none ${quoted(was)}`,
            )
          : inferred('renamed', 'the names are similar, and no attempt since has succeeded'),
      ],
    };
  }
  return null;
}

/** Two steps that every later task has saved in the reverse order. */
function reordered(attempt: number, old: string[], peers: Peer[]): CodeChange | null {
  if (peers.length === 0) return null;
  for (const [i, earlier] of old.entries()) {
    for (const next of old.slice(i + 1)) {
      if (plain(earlier) === plain(next)) continue;
      const swapped = peers.every(({ steps }) => {
        const [a, b] = [steps.indexOf(earlier), steps.indexOf(next)];
        return a >= 0 && b >= 0 && b < a;
      });
      if (!swapped) continue;
      return {
        attempt,
        step: earlier,
        sentence: `it recorded ${quoted(earlier)} before ${quoted(next)}, and tasks of its name since then record them the other way round`,
        evidence: [
          known('recorded by the old code', old.slice(0, 5).map(quoted).join(', ')),
          known('others of its name', `${peers.length} since then, first ${quoted(next)}, then ${quoted(earlier)}`),
        ],
      };
    }
  }
  return null;
}
