// Gives older Node.js the browser's WebSocket, which Node.js 22 has by itself.
import { WebSocket } from 'undici';

globalThis.WebSocket ??= WebSocket;
