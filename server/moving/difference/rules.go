package difference

// Kind is what a rule allows.
type Kind string

// The kinds.
const (
	Ignored Kind = "ignored" // the member may differ in any way, and be absent
	Value   Kind = "value"   // the member must be there on both sides and have one JSON type; its value may differ
	// Nullable: the member must be a string or null on both sides; its value may differ.
	Nullable Kind = "nullable"
	Withheld Kind = "withheld" // as Value, and the target may have null in place of a text
	Instant  Kind = "instant"  // two times are equal if they are the same moment to the millisecond; without a zone they are in UTC
	AtLeast  Kind = "at-least" // the target's count may be higher; numbers in strings are counts, too
	// AnyOrder: the elements of an array are matched by Rule.Key, in any order.
	AnyOrder Kind = "any-order"
	Superset Kind = "superset" // as AnyOrder, and the target may have more elements
	// Shared: the array is a page of a list. The target must have at least as many elements, up to the page size, and only elements that
	// both sides have are compared. The page size is derived from the members total_pages and total_items beside the array.
	Shared Kind = "shared"
)

// Rule is a difference between a vendor and Dragoman that is known and not reported.
type Rule struct {
	Dialect   string // empty: any
	Operation string // the operationId; empty: any, including error responses
	// Path is the member's path, with [] for the elements of an array: authorities[].entityId. A path that ends in .* matches everything
	// below it. "header NAME" matches a header.
	Path   string
	Kind   Kind
	Key    string // the member by which elements are matched
	Reason string
}

// Rules are the known differences.
var Rules = []Rule{
	{Dialect: "worth", Path: "data.created_at", Kind: Instant, Reason: "Worth writes times in two forms, with milliseconds and Z and with microseconds and no zone; Dragoman in the first"},
	{Dialect: "worth", Path: "data.updated_at", Kind: Nullable, Reason: "every write sets it, also one that a vendor makes by itself, such as a sign-in"},
	{Dialect: "worth", Path: "data.updated_by", Kind: Nullable, Reason: "as updated_at"},
	{Dialect: "worth", Path: "data.company_details.created_at", Kind: Value, Reason: "the customer is made by dragoman customer add, later than the vendor's"},
	{Dialect: "worth", Path: "data.company_details.created_by", Kind: Nullable, Reason: "as company_details.created_at"},
	{Dialect: "worth", Path: "data.company_details.updated_at", Kind: Value, Reason: "as company_details.created_at"},
	{Dialect: "worth", Path: "data.company_details.updated_by", Kind: Nullable, Reason: "as company_details.created_at"},
	{Dialect: "worth", Operation: "createCustomerUser", Path: "data.user_id", Kind: Value, Reason: "each side makes an id of its own, and a dry run promises none"},
	{Dialect: "worth", Operation: "listCustomerUsers", Path: "data.records", Kind: Shared, Key: "id", Reason: "Worth does not document the order of its list, so a page may have others, and more, as the customer also has the users of the other vendor; dragoman compare finds users that are missing"},
	{Dialect: "worth", Operation: "listCustomerUsers", Path: "data.records[].created_at", Kind: Instant, Reason: "as data.created_at"},
	{Dialect: "worth", Operation: "listCustomerUsers", Path: "data.records[].updated_at", Kind: Nullable, Reason: "as data.updated_at"},
	{Dialect: "worth", Operation: "listCustomerUsers", Path: "data.records[].updated_by", Kind: Nullable, Reason: "as data.updated_at"},
	{Dialect: "worth", Operation: "listCustomerUsers", Path: "data.total_items", Kind: AtLeast, Reason: "the customer also has the users of the other vendor"},
	{Dialect: "worth", Operation: "listCustomerUsers", Path: "data.total_pages", Kind: AtLeast, Reason: "as total_items"},
	{Dialect: "worth", Operation: "listCustomerSubroles", Path: "data", Kind: AnyOrder, Key: "code", Reason: "the order of subroles means nothing"},
	{Dialect: "worth", Path: "data.errors", Kind: Ignored, Reason: "an addition of Dragoman to errors"},
	{Dialect: "worth", Path: "data.changes", Kind: Ignored, Reason: "an addition of Dragoman to errors"},

	{Dialect: "testinium", Path: "authorities", Kind: AnyOrder, Key: "name", Reason: "the order of roles means nothing"},
	{Dialect: "testinium", Path: "authorities[].entityId", Kind: Value, Reason: "the vendor's services number the same roles differently; roles are found by name"},
	{Dialect: "testinium", Path: "accessToken", Kind: Withheld, Reason: "a secret: it is not copied, and Dragoman issues its own, shown to callers whose rank is at least the user's and null to others"},
	{Dialect: "testinium", Path: "vcsPassword", Kind: Nullable, Reason: "a secret: it is not copied, and Dragoman never shows one"},
	{Dialect: "testinium", Path: "companyName", Kind: Nullable, Reason: "the vendor sets it in some answers and not in others"},
	{Dialect: "testinium", Operation: "listUsers", Path: "", Kind: Superset, Key: "entityId", Reason: "the customer also has the users of the other vendor"},
	{Dialect: "testinium", Operation: "listUsers", Path: "[].authorities", Kind: AnyOrder, Key: "name", Reason: "as authorities"},
	{Dialect: "testinium", Operation: "listUsers", Path: "[].authorities[].entityId", Kind: Value, Reason: "as authorities[].entityId"},
	{Dialect: "testinium", Operation: "listUsers", Path: "[].accessToken", Kind: Withheld, Reason: "as accessToken"},
	{Dialect: "testinium", Operation: "listUsers", Path: "[].vcsPassword", Kind: Nullable, Reason: "as vcsPassword"},
	{Dialect: "testinium", Operation: "listUsers", Path: "[].companyName", Kind: Nullable, Reason: "as companyName"},
	{Dialect: "testinium", Path: "timestamp", Kind: Value, Reason: "the time of an error"},
	{Dialect: "testinium", Path: "description", Kind: Ignored, Reason: "an addition of Dragoman to errors, whose body the vendor does not document"},
	{Dialect: "testinium", Path: "errors", Kind: Ignored, Reason: "an addition of Dragoman to errors, whose body the vendor does not document"},

	{Path: "header Date", Kind: Ignored, Reason: "the time of the answer"},
	{Path: "header Server", Kind: Ignored, Reason: serving},
	{Path: "header Via", Kind: Ignored, Reason: serving},
	{Path: "header Age", Kind: Ignored, Reason: serving},
	{Path: "header Alt-Svc", Kind: Ignored, Reason: serving},
	{Path: "header X-Powered-By", Kind: Ignored, Reason: serving},
	{Path: "header X-Cache", Kind: Ignored, Reason: serving},
	{Path: "header Cf-Ray", Kind: Ignored, Reason: serving},
	{Path: "header Cf-Cache-Status", Kind: Ignored, Reason: serving},
	{Path: "header Nel", Kind: Ignored, Reason: serving},
	{Path: "header Report-To", Kind: Ignored, Reason: serving},
	{Path: "header Server-Timing", Kind: Ignored, Reason: serving},
	{Path: "header X-Amz-Cf-Id", Kind: Ignored, Reason: serving},
	{Path: "header X-Amz-Cf-Pop", Kind: Ignored, Reason: serving},
	{Path: "header X-Amzn-Trace-Id", Kind: Ignored, Reason: serving},
	{Path: "header X-Amzn-Requestid", Kind: Ignored, Reason: serving},
	{Path: "header X-Request-Id", Kind: Ignored, Reason: "each server names a request by itself"},
	{Path: "header Connection", Kind: Ignored, Reason: transfer},
	{Path: "header Keep-Alive", Kind: Ignored, Reason: transfer},
	{Path: "header Transfer-Encoding", Kind: Ignored, Reason: transfer},
	{Path: "header Content-Length", Kind: Ignored, Reason: transfer},
	{Path: "header Content-Encoding", Kind: Ignored, Reason: transfer},
	{Path: "header Vary", Kind: Ignored, Reason: transfer},
	{Path: "header Etag", Kind: Ignored, Reason: "it names a version of the server's own, and Dragoman always has one for a user"},
	{Path: "header Last-Modified", Kind: Ignored, Reason: "Dragoman has ETag"},
	{Path: "header Cache-Control", Kind: Ignored, Reason: "both forbid caches that are shared, in other words"},
	{Path: "header Expires", Kind: Ignored, Reason: "as Cache-Control"},
	{Path: "header Pragma", Kind: Ignored, Reason: "as Cache-Control"},
	{Path: "header Strict-Transport-Security", Kind: Ignored, Reason: browsers},
	{Path: "header X-Frame-Options", Kind: Ignored, Reason: browsers},
	{Path: "header X-Content-Type-Options", Kind: Ignored, Reason: browsers},
	{Path: "header X-Xss-Protection", Kind: Ignored, Reason: browsers},
	{Path: "header X-Dns-Prefetch-Control", Kind: Ignored, Reason: browsers},
	{Path: "header X-Download-Options", Kind: Ignored, Reason: browsers},
	{Path: "header X-Permitted-Cross-Domain-Policies", Kind: Ignored, Reason: browsers},
	{Path: "header Referrer-Policy", Kind: Ignored, Reason: browsers},
	{Path: "header Content-Security-Policy", Kind: Ignored, Reason: browsers},
	{Path: "header Cross-Origin-Opener-Policy", Kind: Ignored, Reason: browsers},
	{Path: "header Cross-Origin-Resource-Policy", Kind: Ignored, Reason: browsers},
	{Path: "header Origin-Agent-Cluster", Kind: Ignored, Reason: browsers},
	{Path: "header Set-Cookie", Kind: Ignored, Reason: "cookies of the vendor's load balancer; a session is its identity provider's"},
}

const (
	serving  = "it is about who serves, and not about the user"
	transfer = "it is about how the answer is transferred"
	browsers = "it instructs browsers about pages, and an API has none"
)
