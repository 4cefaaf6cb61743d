/** A family as a tree, and the path along its waits to what blocks a task. */
import { isUnfinished } from '../../sql/description.js';
import type { FamilyMember } from '../../sql/families.js';

export interface TreeRow extends FamilyMember {
  /** 0 for the oldest ancestor. */
  depth: number;
  /** Whether it is the task that was asked about. */
  asked: boolean;
  /** The unfinished tasks that it waits for. */
  waits_for: string[];
  /** Whether the task that was asked about waits for it, directly or through others. */
  blocks: boolean;
}

/** Parents come before their children, siblings in the order in which they were made. */
export function familyTree(
  members: readonly FamilyMember[],
  awaited: readonly { task_id: string; awaited_id: string }[],
  rootId: string,
  askedId: string,
): TreeRow[] {
  const byId = new Map(members.map((member) => [member.task_id, member]));
  const children = new Map<string, FamilyMember[]>();
  for (const member of members) {
    if (member.task_id === rootId || member.parent_task_id === null) continue;
    const siblings = children.get(member.parent_task_id);
    if (siblings === undefined) children.set(member.parent_task_id, [member]);
    else siblings.push(member);
  }
  const waitsFor = new Map<string, string[]>();
  for (const { task_id: id, awaited_id: other } of awaited) {
    const member = byId.get(other);
    if (member !== undefined && !isUnfinished(member.state)) continue;
    waitsFor.set(id, [...(waitsFor.get(id) ?? []), other]);
  }
  const blocking = new Set<string>();
  const follow = [askedId];
  for (let id = follow.pop(); id !== undefined; id = follow.pop()) {
    for (const other of waitsFor.get(id) ?? []) {
      if (blocking.has(other) || other === askedId) continue;
      blocking.add(other);
      follow.push(other);
    }
  }
  const rows: TreeRow[] = [];
  const open: { member: FamilyMember | undefined; depth: number }[] = [{ member: byId.get(rootId), depth: 0 }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { member, depth } = next;
    if (member === undefined) continue;
    const { task_id: id } = member;
    rows.push({
      ...member,
      depth,
      asked: id === askedId,
      waits_for: waitsFor.get(id) ?? [],
      blocks: blocking.has(id),
    });
    const below = [...(children.get(id) ?? [])].sort((a, b) => (a.task_id < b.task_id ? 1 : -1));
    open.push(...below.map((child) => ({ member: child, depth: depth + 1 })));
  }
  return rows;
}

/** The ends of the paths along the waits: tasks that the asked one waits for and that wait for none themselves. */
export function blockers(rows: readonly TreeRow[]): TreeRow[] {
  return rows.filter(({ blocks, waits_for: waits }) => blocks && waits.length === 0);
}
