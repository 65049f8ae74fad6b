package rtmp

import (
	"fmt"

	"sluice/amf0"
)

// command takes a call, answers it if there is but one answer, and returns an
// event if the owner of the connection has to know.
func (c *ServerConn) command(m Message) (Event, error) {
	values := commandValues(m)
	if c.app != "" {
		values.Frugal(callMemory)
	}
	name, err := commandName(values)
	if err != nil {
		return Event{}, err
	}
	if err := c.rate.count(c.role == 0); err != nil {
		return Event{}, err
	}
	switch {
	case name == cmdConnect && c.app != "":
		return Event{}, fmt.Errorf("second connect: %w", ErrProtocol)
	case name != cmdConnect && c.app == "":
		return Event{}, fmt.Errorf("command %.32q before connect: %w", name, ErrProtocol)
	case name != cmdConnect && !understood(name):
		return Event{}, nil
	}
	cmd, err := parseArgs(name, values)
	if err != nil {
		return Event{}, err
	}
	if name == cmdConnect {
		return c.onConnect(cmd)
	}
	switch cmd.name {
	case cmdPublish, cmdPlay:
		return c.onRequest(cmd, m.StreamID), nil
	case cmdFCUnpublish:
		c.call(callStream, 0, "onFCUnpublish", 0, nil, status(levelStatus, CodeUnpublished, "Publishing ended"))
		c.result(cmd, amf0.Undefined{})
		return c.end(c.role == PublishRequest), nil
	case cmdDelete:
		id, ok := cmd.streamID(1)
		c.dropStream(id)
		return c.end(!ok || id == c.roleID || c.roleID == 0), nil
	case cmdClose:
		return c.end(m.StreamID == 0 || m.StreamID == c.roleID || c.roleID == 0), nil
	}
	c.answer(cmd)
	return Event{}, nil
}

// understood tells whether a command that follows a connect means something to a live
// stream. Others are not even decoded.
func understood(name string) bool {
	switch name {
	case cmdPublish, cmdPlay, cmdFCUnpublish, cmdDelete, cmdClose,
		cmdRelease, cmdFCPublish, cmdCreate, cmdFCSubscribe, cmdLength, cmdCheckBW:
		return true
	}
	return false
}

// callMemory is what the values of a command behind the connect may take beside three
// times their length: they are a few numbers and names. With 50 of them in a second no
// client makes the server allocate much.
const callMemory = 1 << 10

// answer answers what changes nothing.
func (c *ServerConn) answer(cmd command) {
	switch cmd.name {
	case cmdRelease:
		c.result(cmd, amf0.Undefined{})
	case cmdFCPublish:
		c.call(callStream, 0, "onFCPublish", 0, nil, status(levelStatus, CodePublishStart, "FCPublish"))
		c.result(cmd, amf0.Undefined{})
	case cmdCreate:
		id, ok := c.newStream()
		if !ok {
			c.call(callStream, 0, cmdError, cmd.tid, nil, status(levelError, CodeCallFailed,
				fmt.Sprintf("at most %d streams on a connection", MaxMessageStreams)))
			return
		}
		c.result(cmd, id)
	case cmdFCSubscribe:
		c.call(callStream, 0, "onFCSubscribe", 0, nil, status(levelStatus, CodePlayStart, "FCSubscribe"))
	case cmdLength:
		c.result(cmd, 0)
	case cmdCheckBW:
		c.result(cmd)
	}
}

func (c *ServerConn) onConnect(cmd command) (Event, error) {
	params := cmd.properties(0)
	c.app, c.tcURL = property(params, "app"), property(params, "tcUrl")
	c.caps = readCapabilities(params)
	c.asked = request{kind: ConnectRequest, tid: cmd.tid}
	if c.app == "" {
		if err := c.Refuse(CodeInvalidApp, "The URL names no application: rtmp://host/app/name"); err != nil {
			return Event{}, err
		}
		return Event{}, fmt.Errorf("connect without an application: %w", ErrName)
	}
	if v, _ := params.Get("objectEncoding"); v == 3.0 {
		c.asked.encoding = 3
	}
	return Event{Kind: ConnectRequest}, nil
}

// onRequest takes a publish or play command.
func (c *ServerConn) onRequest(cmd command, stream uint32) Event {
	q := request{kind: PublishRequest, tid: cmd.tid, stream: stream}
	refusal := CodePublishBadName
	if cmd.name == cmdPlay {
		q.kind, refusal = PlayRequest, CodePlayFailed
		q.reset = len(cmd.args) < 5 || cmd.args[4] != false
	}
	switch {
	case c.role != 0, c.asked.kind != 0:
		c.status(stream, levelError, refusal, "This connection publishes or plays already")
		return Event{}
	case !c.hasStream(stream):
		c.status(stream, levelError, refusal, "No such message stream: createStream comes first")
		return Event{}
	}
	c.asked = q
	return Event{Kind: q.kind, Name: cmd.text(1)}
}

// end gives up the role, if there is one and the command was about it.
func (c *ServerConn) end(mine bool) Event {
	if c.role == 0 || !mine {
		return Event{}
	}
	c.release()
	return Event{Kind: Ended}
}
