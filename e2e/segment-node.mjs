// Every call of @segment/analytics-node against the server named in argv.
import { Analytics } from '@segment/analytics-node';

const client = new Analytics({ writeKey: 'dev-secret', host: process.argv[2], path: '/v1/batch', flushAt: 4, flushInterval: 100, maxRetries: 5 });
client.on('error', (e) => console.error('sdk error', e.code, e.reason?.message ?? ''));
client.identify({ userId: 'segment-u1', traits: { email: 'a@b.co', plan: 'pro', address: { city: 'Paris' } } });
client.track({ userId: 'segment-u1', event: 'Product Viewed', properties: { product_id: 'p1', category: 'Lamps' } });
client.track({
  userId: 'segment-u1', event: 'Order Completed', messageId: 'segment-order-1',
  properties: { order_id: 'so1', revenue: 12.5, currency: 'EUR', products: [{ product_id: 'p1', price: 12.5, quantity: 1 }] },
});
client.page({ userId: 'segment-u1', category: 'Docs', name: 'Home', properties: { url: 'https://x.y/z' } });
client.screen({ userId: 'segment-u1', name: 'Main' });
client.group({ userId: 'segment-u1', groupId: 'g1', traits: { name: 'Acme' } });
client.alias({ userId: 'segment-u1', previousId: 'segment-old' });
await client.closeAndFlush({ timeout: 15000 });
