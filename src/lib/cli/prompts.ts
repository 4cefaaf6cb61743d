/** The prompts, in a file of their own: the build keeps it out of the bundle, because few commands ask a question. */
export { default as confirm } from '@inquirer/confirm';
export { default as password } from '@inquirer/password';
