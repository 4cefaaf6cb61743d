/** Findings of doctor as a view shows them: what to type next is text. */
import type { Advice } from '../cli/hint.js';
import type { DoctorFinding } from '../doctor/index.js';

export interface FindingView extends Pick<DoctorFinding, 'severity' | 'check' | 'queue' | 'seen' | 'why'> {
  /** What fixes it, in order. */
  next: string[];
  /** What follows from it: gone with the cause. */
  leads_to: FindingView[];
}

export const findingView = (
  { severity, check, queue, seen, why, mend, leads_to }: DoctorFinding,
  text: (advice: Advice) => string,
): FindingView => ({
  ...{ severity, check, queue, seen, why },
  next: mend.map(text),
  leads_to: leads_to.map((effect) => findingView(effect, text)),
});
