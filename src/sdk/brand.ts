/**
 * `instanceof` across copies of the package. A program may load the ESM build here and the CommonJS build there, each with its
 * own classes; a brand under a registered symbol makes an instance of one an instance of the other.
 */
import { attempt } from './attempt.js';

type Class = abstract new (...args: never[]) => object;

export function brand(target: Class, name: string): void {
  const mark = Symbol.for(`absurdctl.${name}`);
  Object.defineProperty(target.prototype, mark, { value: true });
  Object.defineProperty(target, Symbol.hasInstance, {
    value: function hasInstance(this: Class, value: unknown): boolean {
      // A subclass inherits this check, and means its own instances only.
      if (this !== target) return Function.prototype[Symbol.hasInstance].call(this, value);
      // A revoked proxy may be thrown like anything else.
      return typeof value === 'object' && value !== null && attempt(() => mark in value) === true;
    },
  });
}
