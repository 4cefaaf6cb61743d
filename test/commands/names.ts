/** Legal queue names that break whoever does not quote: each goes through every command. */
export const hostileNames = [
  ' ',
  "it's",
  'say "x"',
  '; drop schema absurd cascade; --',
  '$$ \\ %I %1$s',
  'tab\there\nand\u001b[31m',
  'é'.repeat(28) + 'x',
  '-dash',
];
