/** `t_q_401` of `t_q_401`, `absurd.t_q_401`, `"t_q_401"`, `absurd."t_q_401"` and `"absurd"."t_q_401"`. */
export function bareName(typed: string): string {
  const quoted = /^(?:(?:absurd|"absurd")\.)?"((?:[^"]|"")+)"$/.exec(typed)?.[1];
  return quoted === undefined ? typed.replace(/^(?:absurd|"absurd")\./, '') : quoted.replaceAll('""', '"');
}

/** What a typed name may mean: the name itself, and what it says where it is written as in SQL. */
export const partitionName = (typed: string): string[] => [...new Set([typed, bareName(typed)])];
