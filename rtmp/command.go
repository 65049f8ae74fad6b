package rtmp

import (
	"fmt"
	"math"

	"sluice/amf0"
)

// Names of the commands and of what answers them.
const (
	cmdConnect     = "connect"
	cmdResult      = "_result"
	cmdError       = "_error"
	cmdStatus      = "onStatus"
	cmdRelease     = "releaseStream"
	cmdFCPublish   = "FCPublish"
	cmdFCUnpublish = "FCUnpublish"
	cmdFCSubscribe = "FCSubscribe"
	cmdCreate      = "createStream"
	cmdDelete      = "deleteStream"
	cmdClose       = "closeStream"
	cmdPublish     = "publish"
	cmdPlay        = "play"
	cmdLength      = "getStreamLength"
	cmdCheckBW     = "_checkbw"
)

// The status codes that this package sends, or that its callers refuse with.
const (
	CodeConnectSuccess  = "NetConnection.Connect.Success"
	CodeConnectRejected = "NetConnection.Connect.Rejected"
	CodeInvalidApp      = "NetConnection.Connect.InvalidApp"
	CodeCallFailed      = "NetConnection.Call.Failed"
	CodePublishStart    = "NetStream.Publish.Start"
	CodePublishBadName  = "NetStream.Publish.BadName"
	CodePublishDenied   = "NetStream.Publish.Denied"
	CodePublishRejected = "NetStream.Publish.Rejected"
	CodeUnpublished     = "NetStream.Unpublish.Success"
	CodePlayReset       = "NetStream.Play.Reset"
	CodePlayStart       = "NetStream.Play.Start"
	CodePlayFailed      = "NetStream.Play.Failed"
	CodePlayNotFound    = "NetStream.Play.StreamNotFound"
	CodePlayStop        = "NetStream.Play.Stop"
	CodePlayUnpublished = "NetStream.Play.UnpublishNotify"
)

const (
	levelStatus = "status"
	levelError  = "error"
)

// usefulArgs is how many values of a command carry meaning: its object and the
// arguments. What cannot be decoded behind them is junk that some clients send.
const usefulArgs = 2

// command is a remote call: its name, its transaction (0 wants no answer), the
// command object and the arguments.
type command struct {
	name string
	tid  float64
	args []any // args[0] is the command object
}

// parseCommand reads the body of a message of type 20, or of type 17, which is
// the same behind a format selector that some clients leave out.
func parseCommand(m Message) (command, error) {
	values := commandValues(m)
	name, err := commandName(values)
	if err != nil {
		return command{}, err
	}
	return parseArgs(name, values)
}

// commandValues returns what decodes the values of a command.
func commandValues(m Message) *amf0.Decoder {
	if m.Type == TypeCommandAMF3 && len(m.Body) > 0 && m.Body[0] == 0 {
		return amf0.NewDecoder(m.Body[1:])
	}
	return amf0.NewDecoder(m.Body)
}

// commandName reads the first value of a command.
func commandName(values *amf0.Decoder) (string, error) {
	v, err := values.Next()
	if err != nil {
		return "", fmt.Errorf("decoding the name of a command: %w: %w", err, ErrProtocol)
	}
	name, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("command whose name is no string: %w", ErrProtocol)
	}
	return name, nil
}

// parseArgs reads what follows the name of a command.
func parseArgs(name string, rest *amf0.Decoder) (command, error) {
	values, err := rest.All()
	if err != nil && len(values) < 1+usefulArgs {
		return command{}, fmt.Errorf("decoding the command %.32q: %w: %w", name, err, ErrProtocol)
	}
	c := command{name: name}
	if len(values) > 0 {
		c.tid, _ = values[0].(float64)
		c.args = values[1:]
	}
	if math.IsNaN(c.tid) || math.IsInf(c.tid, 0) {
		c.tid = 0
	}
	return c, nil
}

// wantsAnswer tells whether the caller waits for a result.
func (c command) wantsAnswer() bool { return c.tid != 0 }

// text returns argument i, 0 being the command object; digits come as number.
func (c command) text(i int) string {
	if i >= len(c.args) {
		return ""
	}
	s, _ := amf0.Text(c.args[i])
	return s
}

// streamID returns argument i as the id of a message stream.
func (c command) streamID(i int) (id uint32, ok bool) {
	if i >= len(c.args) {
		return 0, false
	}
	v, isNumber := c.args[i].(float64)
	if !isNumber || !(v >= 0 && v <= math.MaxUint32) {
		return 0, false
	}
	return uint32(v), true
}

// properties returns those of argument i, none when it is no object.
func (c command) properties(i int) amf0.Object {
	if i >= len(c.args) {
		return nil
	}
	return amf0.Properties(c.args[i])
}

// property returns a property as text, empty where there is none.
func property(o amf0.Object, key string) string {
	v, _ := o.Get(key)
	s, _ := amf0.Text(v)
	return s
}

// status returns the information object of a status.
func status(level, code, description string) amf0.Object {
	return amf0.Object{
		{Key: "level", Value: level},
		{Key: "code", Value: code},
		{Key: "description", Value: description},
	}
}

// StatusError is a refusal or failure that the peer reported.
type StatusError struct {
	Command     string // what was asked for, empty for a status out of the blue
	Code        string // such as [CodePublishBadName]
	Description string // the peer's words
}

// Error implements error.
func (e *StatusError) Error() string {
	s := "rtmp: the server says " + e.Code
	if e.Command != "" {
		s = "rtmp: the server refuses " + e.Command + " with " + e.Code
	}
	if e.Description != "" {
		s += ": " + e.Description
	}
	return s
}

// statusError reads the information object of an _error or onStatus.
func statusError(cmd string, info amf0.Object) *StatusError {
	return &StatusError{Command: cmd, Code: property(info, "code"), Description: property(info, "description")}
}
