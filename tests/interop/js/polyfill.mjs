// js-libp2p 3.3 wants Node 22; on Node 20 this is all that is missing.
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new Promise((resolved, rejected) => { resolve = resolved; reject = rejected })
  return { promise, resolve, reject }
}
