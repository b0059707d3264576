// The types of what the API returns, for readers and for the type checker. There is no code here.

/**
 * @typedef {object} Summary An exchange as the list shows it. Times are microseconds, sizes bytes on the wire.
 * @property {number} seq
 * @property {number} id
 * @property {number} began Since 1970.
 * @property {"client" | {replay: {of?: number | null, id: number, edited: boolean}}} origin
 * @property {string} protocol
 * @property {string} remote
 * @property {string} method
 * @property {string} target
 * @property {string} host
 * @property {number} status
 * @property {string | null} fault
 * @property {number} took
 * @property {number | null} cpu
 * @property {number | null} memory
 * @property {number} received
 * @property {number} sent
 * @property {boolean} isCut
 * @property {string | null} kept
 * @property {{name: string, number: number} | null} handler
 * @property {number} connection
 * @property {number} nth
 */
/**
 * @typedef {object} Side One direction of an exchange. Bytes are in base64, and only the first 64 KiB of them.
 * @property {string} wire
 * @property {number} wireLength
 * @property {number} head The bytes before the body.
 * @property {string} line
 * @property {[string, string][]} fields
 * @property {string} body
 * @property {number} bodyLength
 * @property {[string, string][]} trailers
 * @property {string[]} interim
 * @property {boolean} isChunked
 * @property {boolean} isWhole
 */
/**
 * @typedef {object} RecordSide
 * @property {number} total
 * @property {number} head
 * @property {[number, number][]} turns
 * @property {string} end
 * @property {string} [cut]
 */
/**
 * @typedef {object} ExchangeRecord
 * @property {number} id
 * @property {string} local
 * @property {{mount: string, timeout: number, env: string[]}} [facts]
 * @property {RecordSide} request
 * @property {RecordSide} response
 * @property {{[stage: string]: number}} marks
 * @property {{at: number, stream: string, text: string}[]} lines
 * @property {{kind: string, at: number, text: string, stack: string[]}} [fault]
 * @property {{is_answered: boolean, status: number, sent: number}} [outcome]
 * @property {string} [left] Where an exact replay left what was recorded.
 */
/**
 * @typedef {object} Outbound A request that the handler sent to another server.
 * @property {number} at
 * @property {number | null} took
 * @property {string} method
 * @property {string} url
 * @property {number} status 0 if there was no response.
 * @property {string | null} error
 */
/**
 * @typedef {object} Detail
 * @property {Summary} summary
 * @property {string | null} capture The capture that it is from, if there are several.
 * @property {ExchangeRecord} record
 * @property {{outbound: Outbound[], missing: string[]} | null} varied What an exact replay repeats, and what it cannot.
 * @property {Side} request
 * @property {Side} response
 * @property {[string, string | null][] | null} environ Values that are not captured are `null`.
 * @property {{what: string, clause: string}[]} lint
 */
/**
 * @typedef {object} Running An exchange whose handler runs.
 * @property {number} id
 * @property {string} method
 * @property {string} target
 * @property {string} remote
 * @property {number} took
 * @property {number} cpu
 * @property {number} memory
 * @property {string | null} wait
 */
/**
 * @typedef {object} Difference
 * @property {string} what
 * @property {string} name The name of the field.
 * @property {string} before
 * @property {string} after
 * @property {{sign: string, text: string, differsByItself: boolean}[]} lines
 * @property {boolean} counts
 * @property {boolean} differsByItself
 */
/**
 * @typedef {object} Comparison Of the responses of two exchanges.
 * @property {boolean} isSame
 * @property {Difference[]} differences
 */
/**
 * @typedef {object} ServerState
 * @property {string} version
 * @property {string | null} url `null` if there is no server beside the viewer.
 * @property {{names: string[], problems: string[]} | null} captures The files that the exchanges were read from, if they
 *   were: then nothing more comes, and nothing can be changed.
 * @property {{mount: string, title: string, build: number, broken: string | null}[]} handlers
 * @property {boolean} paused
 * @property {{seen: number, removed: number}} counts
 * @property {{used: number, max: number}} memory
 * @property {{dir: string, lost: number, problem: string | null} | null} files
 * @property {{isAllowed: boolean, why: string | null}} replay
 * @property {{isOn: boolean, why: string | null}} onSave
 * @property {Bin | null} bin
 */
/**
 * @typedef {object} Bin What the request bin answers.
 * @property {number} status
 * @property {[string, string][]} fields
 * @property {string | null} body The body of the request if `null`.
 */
/**
 * @typedef {object} SavedRun What became of kept exchanges when a handler was replaced.
 * @property {number} number
 * @property {{seq: number, id: number, method: string, target: string, verdict: "alike" | "differs" | "failed", replay: number | null, text: string}[]} results
 * @property {number} alike
 * @property {number} differ
 * @property {number} failed
 * @property {number} leftOut
 */

export {};
