"use strict";

const at = (id) => document.getElementById(id);
let limit = Infinity; // bytes of an upload
let request = null;   // the upload under way
let cancelled = false;

// Whatever comes from a name or a reply goes in as text, never as HTML.
function say(id, text) { at(id).textContent = text; }

function size(bytes) {
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let i = 0;
	while (bytes >= 1024 && i < units.length - 1) { bytes /= 1024; i++; }
	return (i === 0 ? bytes : bytes.toFixed(1)) + " " + units[i];
}

function row(file) {
	const link = document.createElement("a");
	link.href = "download?file=" + encodeURIComponent(file.name);
	link.textContent = file.name;
	const time = document.createElement("time");
	time.dateTime = file.modified;
	time.textContent = new Date(file.modified).toLocaleString();
	const tr = document.createElement("tr");
	for (const content of [link, size(file.size), time]) {
		const td = document.createElement("td");
		td.append(content);
		tr.append(td);
	}
	return tr;
}

async function list() {
	try {
		const reply = await fetch("list", { cache: "no-store" });
		const body = await reply.json();
		if (!reply.ok) throw new Error(body.error);
		limit = body.max_size;
		const rows = document.createDocumentFragment(); // a call cannot have any number of arguments
		for (const file of body.files) rows.append(row(file));
		at("files").replaceChildren(rows);
		at("none").hidden = body.files.length > 0;
	} catch (e) {
		say("error", "The list could not be read: " + e.message);
	}
}

// send uploads one file, and says what became of it as a rejection or nothing.
function send(file) {
	return new Promise((resolve, reject) => {
		if (file.size > limit) {
			reject(new Error("the file is too large (at most " + size(limit) + ")"));
			return;
		}
		const form = new FormData();
		form.append("file", file);
		request = new XMLHttpRequest();
		// A form has no agreed way to write quotes in a name; a query has.
		request.open("POST", "upload?name=" + encodeURIComponent(file.name));
		request.upload.onprogress = (e) => {
			if (!e.lengthComputable) return;
			const percent = Math.floor(100 * e.loaded / e.total);
			at("progress").value = percent;
			say("percent", percent + " %");
			// To be heard, which each step would be too much for.
			const reached = file.name + ": " + (percent - percent % 25) + " %";
			if (at("reached").textContent !== reached) say("reached", reached);
		};
		request.onload = () => {
			if (request.status === 201) { resolve(); return; }
			let text = "the server answered " + request.status;
			try { text = JSON.parse(request.responseText).error || text; } catch { /* not ours */ }
			reject(new Error(text));
		};
		request.onerror = () => reject(new Error("the connection was lost"));
		request.onabort = () => reject(new Error("cancelled"));
		request.send(form);
	});
}

function busy(is) {
	at("send").disabled = at("file").disabled = is;
	at("sending").hidden = at("cancel").hidden = !is;
	if (is) at("cancel").focus(); else at("file").focus();
}

at("form").addEventListener("submit", async (event) => {
	event.preventDefault();
	const files = [...at("file").files];
	let stored = 0;
	const failed = [];
	cancelled = false;
	say("status", "");
	say("error", "");
	busy(true);
	for (const file of files) {
		if (cancelled) break;
		say("sending-name", file.name);
		at("progress").value = 0;
		say("percent", "");
		try {
			await send(file);
			stored++;
		} catch (e) {
			failed.push(file.name + ": " + e.message);
		}
	}
	request = null;
	say("reached", "");
	busy(false);
	at("form").reset();
	await list();
	if (stored > 0) say("status", stored === 1 ? "1 file is uploaded." : stored + " files are uploaded.");
	if (failed.length > 0) say("error", failed.join("; "));
});

at("cancel").addEventListener("click", () => {
	cancelled = true;
	if (request) request.abort();
});

list();
