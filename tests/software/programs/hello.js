const http = require("http");
const fs = require("fs");
const { Worker } = require("worker_threads");
const { execFileSync } = require("child_process");

http.createServer((_, answer) => answer.end("hello")).listen(80, async () => {
  const text = await (await fetch("http://node/")).text();
  const worker = new Worker("require('worker_threads').parentPort.postMessage(42)", { eval: true });
  const number = await new Promise((done) => worker.on("message", done));
  fs.writeFileSync("/tmp/watched", "a");
  const seen = new Promise((done) => fs.watch("/tmp/watched", () => done("seen")));
  fs.writeFileSync("/tmp/watched", "b");
  console.log(text, number, await seen, String(execFileSync("echo", ["child"])).trim());
  process.exit(0);
});
