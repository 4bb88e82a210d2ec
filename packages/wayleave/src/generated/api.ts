// Made by `npm run generate` from spec/; not to be changed by hand.

/** A session with its tokens, and what the account knows the client by. */
export type BearerAnswer = TokenAnswer & {
  /** To be kept, and shown at the next sign-in; where it was asked for. */
  readonly device_token?: string | null;
  /** The sessions that made room for this one, where the account had as many as it may have. */
  readonly evicted?: readonly string[];
  readonly vault?: VaultInfo | null;
};

/** A blob, as far as the server knows it. */
export type BlobInfo = {
  /** When this version was written. RFC 3339. */
  readonly changed_at: string;
  /** Its version, as `If-Match` takes it: with the quotes. */
  readonly etag: string;
  /** Its name. */
  readonly name: string;
  /** Its bytes. */
  readonly size: number;
};

/** A page of blobs. */
export type BlobPage = {
  /** Bytes of all blobs of the account. */
  readonly bytes: number;
  /** In the order of their names. */
  readonly items: readonly BlobInfo[];
  /** `after` of the next page; none on the last. */
  readonly next?: string | null;
  /** How many bytes there may be. */
  readonly quota: number;
};

/** A session for somebody that a trusted backend vouches for. */
export type CreateSession = {
  /** What the owner's list shows. */
  readonly device?: string | null;
  /** Seconds that the tokens should live; cut down to what the kind allows. */
  readonly duration?: number | null;
  /** What it asks for; cut down to what key and kind allow. */
  readonly permissions?: readonly PermissionName[] | null;
  /** The kind; the deployment's bearer kind unless told. */
  readonly session_type?: string | null;
  /** The backend's own name for the person; the subject becomes `ext:<service>:<subject>`. */
  readonly subject: string;
};

/** `{"success":true,"token":"..."}`. */
export type CsrfAnswer = {
  readonly success: boolean;
  /** To be sent back as `x-csrf-token`. */
  readonly token: string;
};

/** `{"success":true}`, for what has nothing more to say. */
export type Done = {
  /** Always `true`. */
  readonly success: boolean;
};

/** How many sessions ended. */
export type EndedCount = {
  /** How many. */
  readonly ended: number;
};

/** The body of every refusal, for the OpenAPI document; [`crate::error::ApiError`] writes it. */
export type ErrorBody = {
  /** What went wrong. */
  readonly error: ErrorInfo;
  /** Always `false`. */
  readonly success: boolean;
};

/** What went wrong. */
export type ErrorInfo = {
  /** One of the codes of `spec/errors.toml`. */
  readonly code: string;
  /** More, for programs. */
  readonly details?: Readonly<Record<string, unknown>> | null;
  /** A sentence for people, always the same for one code. */
  readonly message: string;
  /** The request's id, as it stands in the log. */
  readonly request_id?: string | null;
};

/** An extension. */
export type ExtendRequest = {
  /** Seconds from now; cut down to what the kind allows. The full lifetime unless told. */
  readonly duration?: number | null;
};

/** Until when the session lives now. */
export type Extended = {
  /** When the presented token ends; a JWT says so itself, and a refresh brings one that ends later. RFC 3339. */
  readonly expires_at: string;
  /** When it ends, whatever happens. RFC 3339. */
  readonly session_expires_at: string;
};

/** What a token stands for (RFC 7662 section 2.2). */
export type Introspection = {
  /** How sure. */
  readonly acr?: string | null;
  /** Whether it proves a session right now. When it does not, nothing else is said. */
  readonly active: boolean;
  /** How (RFC 8176). */
  readonly amr?: readonly string[] | null;
  /** For whom. */
  readonly aud?: string | null;
  /** When its subject proved itself, in seconds since the epoch. */
  readonly auth_time?: number | null;
  /** The kind of session. */
  readonly client_id?: string | null;
  /** When the token ends, in seconds since the epoch. */
  readonly exp?: number | null;
  /** When the session was opened, in seconds since the epoch. */
  readonly iat?: number | null;
  /** Who issued it. */
  readonly iss?: string | null;
  /** Permissions, separated by blanks. */
  readonly scope?: string | null;
  /** The session's public handle. */
  readonly sid?: string | null;
  /** Whose it is. */
  readonly sub?: string | null;
  /** `Bearer`. */
  readonly token_type?: string | null;
};

/** In which sessions to lock the vault. */
export type LockRequest = {
  /** In this one unless told. */
  readonly scope?: LockScope;
};

/** In which sessions to lock the vault. */
export type LockScope = "this" | "all";

/** How many sessions had the vault open. */
export type LockedCount = {
  /** How many. */
  readonly locked: number;
};

/** Who signed in, and until when. */
export type LoginAnswer = {
  /** The sessions that made room for this one, where the account had as many as it may have. */
  readonly evicted?: readonly string[];
  /** Whether the session can do nothing but choose a new password. */
  readonly mustChangePassword: boolean;
  readonly session: LoginSession;
  readonly user: User;
  readonly vault?: VaultInfo | null;
};

/** A sign-in. */
export type LoginRequest = {
  /**
   * The `device_token` of an earlier sign-in: strangers' failures do not keep this client waiting. The answer has the
   * next one. Bearer tokens only.
   */
  readonly device_token?: string | null;
  /** What the account is called. */
  readonly email: string;
  /** Exactly as typed. */
  readonly password: string;
  /** 30 days instead of 24 hours. Cookies only. */
  readonly rememberMe?: boolean;
  /**
   * Whether the account should know this client from now on, as it knows a browser by its cookie: the answer has a
   * `device_token` then. Bearer tokens only.
   */
  readonly remember_device?: boolean;
  /** The kind of session to open with bearer tokens. */
  readonly session_type?: string | null;
  /** How to hold the session. */
  readonly transport?: TransportChoice;
};

/** The cookie session that was opened. */
export type LoginSession = {
  /** RFC 3339. */
  readonly expire: string;
  readonly sessionId: string;
};

/** The second half of a change. */
export type OpaqueChangeFinish = {
  /** What the record was made with: as the first half said. */
  readonly key_stretching: Stretching;
  /** The client's record: 192 bytes in base64url. */
  readonly upload: string;
  readonly wrapped_key?: RewrappedKey | null;
};

/** The first half of a change. */
export type OpaqueChangeStart = {
  /** The client's request: 32 bytes in base64url. */
  readonly request: string;
};

/** The second half of a login. */
export type OpaqueLoginFinish = {
  /** The `device_token` of an earlier sign-in. The answer has the next one. Bearer tokens only. */
  readonly device_token?: string | null;
  /** KE3: 64 bytes in base64url. */
  readonly finish: string;
  /** From the first half. */
  readonly login_id: string;
  /**
   * Whether the account should know this client from now on, as it knows a browser by its cookie: the answer has a
   * `device_token` then. Bearer tokens only.
   */
  readonly remember_device?: boolean;
  /** 30 days instead of 24 hours. Cookies only. */
  readonly remember_me?: boolean;
  /** The kind of session to open with bearer tokens. */
  readonly session_type?: string | null;
  /** How to hold the session. */
  readonly transport?: TransportChoice;
  readonly vault?: Right | null;
};

/** The first half of a login. */
export type OpaqueLoginStart = {
  /** The `device_token` of an earlier sign-in: strangers' failures do not keep this client waiting. Bearer tokens only. */
  readonly device_token?: string | null;
  /** What the account is called. */
  readonly identifier: string;
  /** KE1: 96 bytes in base64url. */
  readonly request: string;
};

/** The server's answer. The same in form for every identifier, whether or not there is an account. */
export type OpaqueLoginStarted = {
  /** What the client registered with, and must be willing to spend. */
  readonly key_stretching: Stretching;
  /** Names this login in its second half, within a minute and once. */
  readonly login_id: string;
  /** KE2: 320 bytes in base64url. */
  readonly response: string;
};

/** The second half of a registration. */
export type OpaqueRegisterFinish = {
  /** As in the first half. */
  readonly identifier: string;
  /** From the invitation's link, where one is needed. */
  readonly invitation?: string | null;
  /** What the record was made with: as the first half said. */
  readonly key_stretching: Stretching;
  /** What to call the person. */
  readonly name: string;
  /** The client's record: 192 bytes in base64url. */
  readonly upload: string;
};

/** The first half of a registration. */
export type OpaqueRegisterStart = {
  /** What the account will be called. */
  readonly identifier: string;
  /** From the invitation's link, where one is needed. */
  readonly invitation?: string | null;
  /** The client's request: 32 bytes in base64url. */
  readonly request: string;
};

/** A fresh proof. */
export type OpaqueStepUp = {
  /** KE3: 64 bytes in base64url. */
  readonly finish: string;
  /** From the first half, `POST /api/auth/opaque/login/start` with the address of the session's own account. */
  readonly login_id: string;
  readonly vault?: Right | null;
};

/** A new password for one's own account. */
export type PasswordChange = {
  /** The one in force. */
  readonly current_password: string;
  /** Whether all other sessions end; they do unless told otherwise. */
  readonly end_other_sessions?: boolean;
  /** At least 8 characters, at most 1024 bytes, and not a common one. */
  readonly new_password: string;
};

/** A new password by a one-time link. */
export type PasswordReset = {
  /** At least 8 characters, at most 1024 bytes, and not a common one. */
  readonly new_password: string;
  /** What stands behind the `#` of the link. */
  readonly token: string;
};

/** The name of a permission. */
export type PermissionName = string;

/** The same in the form of RFC 9457, for clients that prefer `application/problem+json`. */
export type Problem = {
  /** One of the codes of `spec/errors.toml`. */
  readonly code: string;
  /** A sentence for people, always the same for one code. */
  readonly detail: string;
  /** More, for programs. */
  readonly details?: Readonly<Record<string, unknown>> | null;
  /** The request's id, as it stands in the log. */
  readonly instance?: string | null;
  /** The HTTP status. */
  readonly status: number;
  /** What the type means. */
  readonly title: string;
  /** `about:blank`, or one of the registered types. */
  readonly type: string;
};

/** How the session goes on after a fresh proof: new tokens for bearer clients, a new cookie for the others. */
export type Reauthenticated = {
  /** When its sign-in was. RFC 3339. */
  readonly auth_time: string;
  /** The session's new handle. */
  readonly session_id: string;
  readonly tokens?: TokenAnswer | null;
  readonly vault?: VaultInfo | null;
};

/** A refresh. */
export type RefreshRequest = {
  /** The refresh token, which is spent by this. */
  readonly refresh_token: string;
};

/** Somebody's wish for an account. */
export type RegisterRequest = {
  /** What the account will be called. */
  readonly email: string;
  /** From the invitation's link, where one is needed. */
  readonly invitation?: string | null;
  /** What to call the person. */
  readonly name: string;
  /** At least 8 characters, at most 1024 bytes, and not a common one. */
  readonly password: string;
};

/** The first half of a registration. */
export type RegistrationStarted = {
  /** What the client is to register with, and to send back. */
  readonly key_stretching: Stretching;
  /** The server's answer: 64 bytes in base64url. */
  readonly response: string;
};

/** A key that is wrapped anew. */
export type RewrappedKey = {
  /** 1 to 1024 bytes in base64url without padding. */
  readonly key: string;
  /** The `ETag` of the one that it takes the place of, without its quotes; none where there is none yet. */
  readonly replaces?: string | null;
};

/** What a session may do with the vault. */
export type Right = "read" | "write";

/** Whose session it is, and until when. */
export type SessionAnswer = {
  /** RFC 3339. */
  readonly expiresAt: string;
  /** `user_...`, or the whole subject where it is no account. */
  readonly userId: string;
};

/** A session, as its owner or an administrator sees it. Holds nothing that opens it. */
export type SessionInfo = {
  /** How its subject proved itself (RFC 8176). */
  readonly amr: readonly string[];
  /** When its subject proved itself. RFC 3339. */
  readonly auth_time?: string | null;
  /** RFC 3339. */
  readonly created_at: string;
  /** Whether this request came with it. */
  readonly current: boolean;
  /** The device, as far as it told. */
  readonly device?: string | null;
  /** Whether it has ended already and is only still on record. */
  readonly ended: boolean;
  /** When the current token ends. RFC 3339. */
  readonly expires_at: string;
  /** When it ends without further activity. RFC 3339. */
  readonly idle_expires_at?: string | null;
  /** The last activity that was written down. RFC 3339. */
  readonly last_activity: string;
  /** The coarse network it was opened from. */
  readonly network?: string | null;
  /** What it was granted at sign-in. */
  readonly permissions: readonly string[];
  /** Whether its user asked to be remembered. */
  readonly remembered: boolean;
  /** When it ends, whatever happens. RFC 3339. */
  readonly session_expires_at: string;
  /** The handle for ending it. */
  readonly session_id: string;
  /** Its kind. */
  readonly session_type: string;
  /** Whose it is; none for guests. */
  readonly subject?: string | null;
  readonly vault?: VaultInfo | null;
};

/** What signing in gave, by the transport that was asked for. */
export type SignedIn = LoginAnswer | BearerAnswer;

/** A fresh proof. */
export type StepUpRequest = {
  /** Exactly as typed. */
  readonly password: string;
};

/**
 * What the client's key-stretching function costs: Argon2id, version 0x13, 64 bytes long, with a salt of 16 zeroes. A
 * client must refuse what is below a floor of its own.
 */
export type Stretching = {
  /** Passes. */
  readonly iterations: number;
  /** Memory in KiB. */
  readonly memory_kib: number;
  /** Lanes. */
  readonly parallelism: number;
};

/** A session with its tokens, for bearer clients. */
export type TokenAnswer = {
  /** When `session_token` ends. RFC 3339. */
  readonly expires_at: string;
  /** What it was granted. */
  readonly permissions: readonly string[];
  /** Renews it, once. */
  readonly refresh_token?: string | null;
  /** When the session ends, whatever happens. RFC 3339. */
  readonly session_expires_at: string;
  /** Its public handle. */
  readonly session_id: string;
  /** Proves the session: `Authorization: Bearer ...`. */
  readonly session_token: string;
  /** Its kind. */
  readonly session_type: string;
};

/** A token to ask about (RFC 7662 section 2.1, RFC 7009 section 2.1). */
export type TokenForm = {
  /** The token. */
  readonly token: string;
  /** `access_token` or `refresh_token`; not needed, the token says it. */
  readonly token_type_hint?: string | null;
};

/** How the client wants to hold its session. */
export type TransportChoice = "cookie" | "bearer";

/** A person, as the person's own client sees it. */
export type User = {
  /** Address of a picture. */
  readonly avatar?: string | null;
  /** RFC 3339. */
  readonly createdAt: string;
  /** What is typed to sign in. */
  readonly email: string;
  /** `user_...` */
  readonly id: string;
  /** Whether signing in is on. */
  readonly isActive: boolean;
  /** Free labels. */
  readonly labels: readonly string[];
  /** What to call the person. */
  readonly name: string;
  /** The most that the person's sessions may do. */
  readonly permissions: readonly string[];
  /** Telephone number. */
  readonly phone?: string | null;
  /** A job title; it grants nothing. */
  readonly role: string;
  /** RFC 3339. */
  readonly updatedAt: string;
};

/** Whether the session is valid, and for how long. */
export type Validation = {
  /** When the presented token ends. RFC 3339. */
  readonly expires_at: string;
  /** What it may do right now. */
  readonly permissions: readonly string[];
  /** When the session ends, whatever happens. RFC 3339. */
  readonly session_expires_at: string;
  /** Its public handle. */
  readonly session_id: string;
  /** Its kind. */
  readonly session_type: string;
  /** Whose it is. */
  readonly subject?: string | null;
  /** Seconds until then. */
  readonly time_remaining: number;
  /** Always `true` here; a 401 carries `false` and a reason. */
  readonly valid: boolean;
};

/** The vault, as a session holds it open or did. */
export type VaultInfo = {
  /** What ended it, once it is over: `locked` or `expired`. */
  readonly ended?: string | null;
  /** When it is over, unless it is used before. RFC 3339. */
  readonly ends_at: string;
  /** When it was opened. RFC 3339. */
  readonly opened_at: string;
  /** What the session may do with it. */
  readonly right: Right;
};

/** The wrapped key. */
export type WrappedKeyText = {
  /** 1 to 1024 bytes in base64url without padding. */
  readonly key: string;
};
