import pg from 'pg';

/**
 * A connection to our own server. Everything that the driver would look for in the environment is given: PGSSLMODE and its kin
 * are about other servers.
 */
export function ownClient(url: string, connectionTimeoutMillis = 0): pg.Client {
  const { hostname, port, username, password, pathname } = new URL(url);
  return new pg.Client({
    host: hostname,
    port: Number(port),
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    database: decodeURIComponent(pathname.slice(1)),
    ssl: false,
    sslnegotiation: 'postgres',
    // The driver takes an empty text for none.
    options: ' ',
    application_name: 'absurdctl dev',
    connectionTimeoutMillis,
  });
}
