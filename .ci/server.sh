# Sourced by the tests of generated clients: builds the server from this checkout, starts it with a fresh folder on a free
# port, and stops it when the script ends. It sets for the tests
#
#	SERVER_URL        where the server is
#	TOKEN_MANAGER     a token of the sandbox's administrator
#	TOKEN_READER      a token that may only read the sandbox
#	TOKEN_ELSEWHERE   a token of another customer's administrator
#	TOKEN_SECRET      what the tokens are signed with
#
# and $work, a folder that goes with the server. A script may set serve_flags, an array of further flags of the server, before.
declare -p serve_flags >/dev/null 2>&1 || serve_flags=()
work=$(mktemp -d /tmp/dragoman-clients.XXXXXX)
server= # the process id of the server that runs

finish() {
	local status=$?
	trap - EXIT
	if [ -n "$server" ]; then
		kill "$server" 2>/dev/null || true
		wait "$server" || { cat "$work/log"; echo "The server did not stop as it should." >&2; status=1; }
	fi
	rm -rf "$work"
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

CGO_ENABLED=0 "${GO:-go}" -C "$(dirname "${BASH_SOURCE[0]}")/.." build -o "$work/dragoman" .
unset "${!DRAGOMAN_@}" # the server's configuration is its default, whatever is set here
dragoman() { (cd "$work" && ./dragoman "$@"); }

(cd "$work" && exec ./dragoman serve --dev --listen 127.0.0.1:0 "${serve_flags[@]}" >greeting 2>log) &
server=$!
until SERVER_URL=$(sed -n 's/^Dragoman is listening on \(http:[^,]*\),.*/\1/p' "$work/greeting" 2>/dev/null) && [ -n "$SERVER_URL" ]; do
	kill -0 "$server" 2>/dev/null || { cat "$work/log" >&2; server=; echo "The server did not start." >&2; exit 1; }
	sleep 0.1
done
export SERVER_URL

# A user with the highest id that a directory takes from outside, 2^52; one more is refused.
printf 'id,customer,first_name,last_name,email,status\n%s\n' \
	'4503599627370496,3393,Edge,Case,edge.case@example.com,ACTIVE' >"$work/edge.csv"
printf 'id,customer,first_name,last_name,email,status\n%s\n' \
	'4503599627370497,3393,Beyond,Case,beyond.case@example.com,ACTIVE' >"$work/beyond.csv"
key=$(cat "$work/.dragoman/secret-key")
if DRAGOMAN_SECRET_KEY=$key dragoman import beyond.csv 2>"$work/refusal"; then
	echo "The directory took the id 2^52+1 from outside." >&2
	exit 1
fi
cat "$work/refusal"
DRAGOMAN_SECRET_KEY=$key dragoman import edge.csv

TOKEN_MANAGER=$(dragoman token --dev --customer 3393 --authority ROLE_COMPANY_ADMIN)
TOKEN_READER=$(dragoman token --dev --customer 3393 --permission customer_user:read)
TOKEN_ELSEWHERE=$(dragoman token --dev --customer 3394 --authority ROLE_COMPANY_ADMIN)
TOKEN_SECRET=$(cat "$work/.dragoman/jwt-secret")
export TOKEN_MANAGER TOKEN_READER TOKEN_ELSEWHERE TOKEN_SECRET
