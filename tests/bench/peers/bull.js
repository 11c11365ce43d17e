// The worker and the producer of BullMQ; the job is a command, or nothing.
// Usage: node bull.js work CONCURRENCY | node bull.js add COUNT COMMAND… | node bull.js each COMMAND… (one for each line of stdin; prints when)
const { Queue, Worker } = require("bullmq");
const { spawn } = require("child_process");
const connection = { path: process.env.BENCH_SOCKET, maxRetriesPerRequest: null };
const [what, ...rest] = process.argv.slice(2);

function run(job) {
  if (job.data.length === 0) return Promise.resolve();
  return new Promise((done, fail) => {
    const child = spawn(job.data[0], job.data.slice(1), { stdio: "ignore" });
    child.on("error", fail);
    child.on("exit", (code) => (code === 0 ? done() : fail(new Error("exit " + code))));
  });
}

async function add(count, command) {
  const queue = new Queue("work", { connection });
  const job = { name: "run", data: command, opts: { removeOnComplete: true } };
  for (let left = count; left > 0; left -= 1000) await queue.addBulk(Array(Math.min(left, 1000)).fill(job));
  await queue.close();
}

async function each(command) {
  const queue = new Queue("work", { connection });
  await queue.waitUntilReady();
  console.log("ready");
  for await (const _ of require("readline").createInterface({ input: process.stdin })) {
    console.log(performance.timeOrigin + performance.now());
    await queue.add("run", command, { removeOnComplete: true });
  }
}

if (what === "work") new Worker("work", run, { connection, concurrency: Number(rest[0]) });
else if (what === "add") add(Number(rest[0]), rest.slice(1));
else each(rest);
