// Package transcript brings recorded agent sessions into a store and back out.
//
// # Nouns
//
// A [Source] is recorded input. [Scan] reads it once from end to end and returns a
// [Plan]: proof that the input is well-formed, with its [Format] and counts. A plan
// yields [Step] after [Step]; [Import] commits each of them as one turn, and
// [Export] writes the messages of a session's active path.
//
// Two formats are read, told apart by their content:
//
//	messages    JSON Lines: one object per line with "role" and usually "content"
//	trajectory  one object with "history", a list of such messages, and
//	            "trajectory", the list of an agent's steps
//
// # Steps
//
// In messages, a step ends after an assistant message and the tool results that
// directly follow it. In a trajectory, each entry of "trajectory" is one step; it
// gets the assistant message that belongs to it and everything up to the next one,
// and the first step also gets what stands before. If there are more assistant
// messages than steps, the surplus is taken to be a demonstration at the start. A
// step that grows beyond [MaxStepMessages] or [MaxStepBytes] is committed in parts.
//
// # How a message is kept
//
// A message is one graph node. Its payload is a Conversation event, which is what
// session lists and runtimes read, with the message as it was beside it:
//
//	{
//	  "event": {"Conversation": {
//	    "id": "m000002", "role": "User",
//	    "parts": [{"id": "m000002.0", "kind": "Text", "content": "Hello"}]}},
//	  "transcript": {
//	    "format": 1,
//	    "message": {"role": "user", "content": null, "name": "ann", "n": 1.50},
//	    "content_part": 0}
//	}
//
// "message" is the original without the white space between its tokens: unknown
// members, their order and the text of numbers are as they were. If "content" was a
// plain string, it is not kept twice: the member holds null, and "content_part"
// names the part that has the text. Without "content_part" the message is complete
// as it stands.
//
// # Guarantees
//
//	G1  What Export writes for an imported message is equal to the original as a
//	    JSON value, with members in the same order and numbers with the same text.
//	    How characters in a content string were escaped is not kept.
//	G2  Malformed input is an [*InputError] that names the file and the line or JSON
//	    path. Import is only reached with input that has been read completely.
//	G3  An import that fails removes the session that it created, and no other.
//	G4  Turn ids are derived from the bytes of the input. An import that was killed
//	    is completed by repeating it, and a repeated import changes nothing.
//	G5  Memory is bounded by one step, whatever the size of the input.
//
// Strings must be valid Unicode: input with invalid UTF-8 or half a surrogate pair
// is refused, as is an object with two members of the same name, because no two
// readers would agree on what they mean.
//
// Nothing here is safe for use by several goroutines at once, except that different
// plans are independent.
package transcript
