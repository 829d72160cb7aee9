// An OpenID Connect provider in its own process: `node provider.mjs REDIRECT_URI`. Prints its port on one line, then
// serves 127.0.0.1 until it is killed. Its development pages ask for a login, which becomes the subject, and for consent.
// The client `billing` is a machine: client credentials give it a JWT access token (RFC 9068) for any resource.
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const [redirectUri] = process.argv.slice(2);
let handle;
const server = createServer((request, response) => handle(request, response));
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address();
  const provider = new Provider(`http://127.0.0.1:${port}`, {
    clients: [
      { client_id: 'threada', client_secret: 'client-secret', redirect_uris: [redirectUri] },
      {
        client_id: 'billing',
        client_secret: 'billing-secret',
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      },
    ],
    features: {
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context, resource) => ({
          audience: resource,
          scope: '',
          accessTokenTTL: 300,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    claims: { openid: ['sub'], email: ['email'], profile: ['name'], groups: ['groups'] },
    scopes: ['openid', 'email', 'profile', 'groups'],
    pkce: { required: () => true },
    findAccount: (_context, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@corp.example`, name: `Name of ${id}`, groups: id === 'ann' ? ['finance'] : [] }),
    }),
  });
  handle = provider.callback();
  console.log(port);
});
