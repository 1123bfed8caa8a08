// connect-redis, the store of express-session.
'use strict';
const { port, same, holds, run } = require('./checks.js');
const { createClient } = require('redis');
const { RedisStore } = require('connect-redis');

run(async () => {
    for (const RESP of [2, 3]) {
        const client = createClient({ url: `redis://127.0.0.1:${port}`, RESP });
        await client.connect();
        const store = new RedisStore({ client, prefix: `s${RESP}:`, ttl: 1000 });
        await store.set('one', { cookie: { originalMaxAge: 60000, expires: new Date(Date.now() + 60000) }, user: 'ann', visits: 1 });
        await store.set('two', { cookie: {}, user: 'bob' });
        same((await store.get('one')).user, 'ann', 'stored');
        same((await store.get('none')) ?? null, null, 'not there');
        holds((await client.ttl(`s${RESP}:one`)) <= 60, 'as long as the cookie');
        holds((await client.ttl(`s${RESP}:two`)) > 900, 'as long as the store');
        await store.touch('one', { cookie: { expires: new Date(Date.now() + 500000) } });
        holds((await client.ttl(`s${RESP}:one`)) > 400, 'prolonged');
        same(await store.length(), 2, 'length');
        same((await store.ids()).sort(), ['one', 'two'], 'ids');
        same((await store.all()).map((session) => session.user).sort(), ['ann', 'bob'], 'all');
        await store.destroy('one');
        same((await store.get('one')) ?? null, null, 'destroyed');
        await store.set('past', { cookie: { expires: new Date(Date.now() - 1000) } });
        same((await store.get('past')) ?? null, null, 'too late');
        await store.clear();
        same(await store.length(), 0, 'cleared');
        await client.close();
    }
});
