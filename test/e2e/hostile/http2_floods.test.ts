// Frames that cost their sender little: sent by the ten thousand to each listener that speaks HTTP/2.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { flood, floods } from '../../support/hostile/floods.ts';
import { http2Listeners, type Scene, setScene } from '../../support/hostile/scene.ts';

describe('floods of HTTP/2 frames', () => {
  let scene: Scene;
  before(async () => {
    scene = await setScene();
  });
  after(() => scene.stop());

  for (const listener of http2Listeners)
    test(`to ${listener}`, { timeout: 120_000 }, async (t) => {
      for (const [name, one] of Object.entries(floods))
        await t.test(name, () => scene.survives(() => flood(scene.endpoint(listener), one)));
    });

  test('all of them at once', { timeout: 120_000 }, async () => {
    await scene.survives(async () => {
      const all = Object.values(floods);
      await Promise.all(http2Listeners.flatMap((listener) => all.map((one) => flood(scene.endpoint(listener), one))));
    });
    assert.equal((await scene.cluster.ask({ path: '/fine' })).text, 'fine');
  });
});
