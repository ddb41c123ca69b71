// Every call of @rudderstack/rudder-sdk-node against the server named in argv.
import RudderAnalytics from '@rudderstack/rudder-sdk-node';

const client = new RudderAnalytics('dev-secret', { dataPlaneUrl: process.argv[2], flushAt: 1, flushInterval: 50, maxRetryCount: 5 });
const call = (name, message) => new Promise((done) => client[name](message, done));
await call('identify', { userId: 'rudder-u1', traits: { email: 'a@b.co', plan: 'pro', address: { city: 'Paris' } } });
await call('track', { userId: 'rudder-u1', event: 'Product Viewed', properties: { product_id: 'p1', category: 'Lamps' } });
await call('track', {
  userId: 'rudder-u1', event: 'Order Completed', messageId: 'rudder-order-1',
  properties: { order_id: 'ro1', revenue: 12.5, currency: 'EUR', products: [{ product_id: 'p1', price: 12.5, quantity: 1 }] },
});
await call('page', { userId: 'rudder-u1', category: 'Docs', name: 'Home', properties: { url: 'https://x.y/z' } });
await call('screen', { userId: 'rudder-u1', name: 'Main' });
await call('group', { userId: 'rudder-u1', groupId: 'g1', traits: { name: 'Acme' } });
await call('alias', { userId: 'rudder-u1', previousId: 'rudder-old' });
await new Promise((done) => client.flush(done));
process.exit(0);
