// Preloaded into Node processes under test: every connection that would leave
// this machine is refused and said on stderr, so that the test can tell.
import net from 'node:net';

const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  const options = Array.isArray(args[0]) ? args[0][0] : args[0];
  const host = typeof options === 'object' ? options.host ?? 'localhost' : typeof args[1] === 'string' ? args[1] : 'localhost';
  if (!/^(127\.|localhost$|::1$)/.test(host)) {
    console.error(`LEFT THE MACHINE: ${host}`);
    throw new Error(`connection to ${host} refused by the test`);
  }
  return connect.apply(this, args);
};
