// The same in JavaScript: node examples/over_http.mjs, or in a page that the worker's own proxy serves.
const worker = `http://127.0.0.1:${process.env.RECOMMENDER_WEB_PORT ?? 6066}`;
const token = process.env.RECOMMENDER_WEB_TOKEN;

async function call(path, body) {
  const headers = { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) };
  const options = body === undefined ? { headers } : { method: "POST", headers, body: JSON.stringify(body) };
  return (await fetch(worker + path, options)).json();
}

const rated = await call("/ratings", { user: "ann", item: "tea", rating: 5 });
const after = rated.written.at(-1);
const answer = await call("/recommend", { user: "ann", n: 3, include_rated: true, after });
console.log(`for ann: ${answer.items.map((place) => place.item).join(", ")}`);
