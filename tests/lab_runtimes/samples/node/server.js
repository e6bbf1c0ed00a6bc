// A sample of an application of Node.js with a dependency.
const fs = require("node:fs");
const http = require("node:http");
const os = require("node:os");
const greeting = require("greeting");

const release = fs.readFileSync("RELEASE", "utf8").trim();
http
  .createServer((request, response) => {
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify({ ...greeting(release), interfaces: Object.keys(os.networkInterfaces()) }));
  })
  .listen(process.env.PORT, "127.0.0.1");
