/** What this dashboard is and allows: asked once. */
import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import type { Session } from '../lib/types.js';

export const SessionContext = createContext<Session | undefined>(undefined);
export const useSession = (): Session | undefined => useContext(SessionContext);
