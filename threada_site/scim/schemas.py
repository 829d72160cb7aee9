"""Resources of the SCIM server: what it stores of a User, an EnterpriseUser and a Group, and what it announces."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

from pydantic import Field
from scim2_models import (
    AuthenticationScheme,
    Bulk,
    CaseExact,
    ChangePassword,
    ComplexAttribute,
    ETag,
    Extension,
    Filter,
    Mutability,
    Patch,
    Reference,
    Required,
    Resource,
    ResourceType,
    ScimPolicy,
    ScimProvider,
    ServiceProviderConfig,
    Sort,
    Uniqueness,
)
from scim2_models import EnterpriseUser as StandardEnterpriseUser
from scim2_models import Group as StandardGroup
from scim2_models import User as StandardUser
from scim2_models.resources.resource import AnyExtension
from scim2_models.resources.user import Email, GroupMembership, Name, PhoneNumber
from scim2_server.service import ScimService

MOST_RESULTS: Final = 200
"""Resources on one page."""


class User(Resource[AnyExtension]):
    """The attributes of a User that Threada stores. There is no password."""

    __schema__ = StandardUser.__schema__

    user_name: Annotated[str | None, Uniqueness.server, Required.true] = None
    """Unique name of the person at the provisioning client."""

    name: Name | None = None
    """Parts of the person's name."""

    display_name: str | None = None
    """Name that is shown."""

    nick_name: str | None = None
    """Informal name."""

    title: str | None = None
    """Title, for example Vice President."""

    user_type: str | None = None
    """Relation to the organization, for example Employee."""

    preferred_language: str | None = None
    """Preferred language."""

    locale: str | None = None
    """Locale."""

    timezone: str | None = None
    """Time zone (IANA name)."""

    active: bool | None = None
    """False: the person is no member of the tenant. Without a value, the person is one."""

    emails: list[Email] | None = None
    """Mail addresses. Notices go to the primary one."""

    phone_numbers: list[PhoneNumber] | None = None
    """Phone numbers."""

    groups: Annotated[list[GroupMembership] | None, Mutability.read_only] = None
    """Provisioned groups of the person."""


class Manager(ComplexAttribute):
    """Manager of a person. Clients often send the id without the address."""

    value: Annotated[str | None, Required.true, CaseExact.true] = None
    """Id of the manager."""

    ref: Reference["User"] | None = Field(None, serialization_alias="$ref", validation_alias="$ref")  # noqa: UP037
    """Address of the manager."""

    display_name: Annotated[str | None, Mutability.read_only] = None
    """Name of the manager."""


class EnterpriseUser(Extension):
    """The extension for people in organizations."""

    __schema__ = StandardEnterpriseUser.__schema__

    employee_number: str | None = None
    """Number of the person in the organization."""

    cost_center: str | None = None
    """Cost center."""

    organization: str | None = None
    """Organization."""

    division: str | None = None
    """Division."""

    department: str | None = None
    """Department."""

    manager: Manager | None = None
    """Manager."""


class Member(ComplexAttribute):
    """Person in a group. Groups contain no groups."""

    value: Annotated[str | None, Mutability.immutable, CaseExact.true] = None
    """Id of the person."""

    ref: Annotated[Reference["User"] | None, Mutability.immutable] = Field(  # noqa: UP037 - a SCIM type
        None, serialization_alias="$ref", validation_alias="$ref"
    )
    """Address of the person."""

    type: Annotated[str | None, Mutability.immutable] = Field(None, examples=["User"])
    """User."""


class Group(Resource[Any]):
    """A group of people."""

    __schema__ = StandardGroup.__schema__

    display_name: Annotated[str | None, Required.true] = None
    """Name of the group."""

    members: list[Member] | None = None
    """People in the group."""

    Members: ClassVar[type[ComplexAttribute]] = Member


CONFIG: Final = ServiceProviderConfig(
    patch=Patch(supported=True),
    bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
    filter=Filter(supported=True, max_results=MOST_RESULTS),
    change_password=ChangePassword(supported=False),
    sort=Sort(supported=False),
    etag=ETag(supported=True),
    authentication_schemes=[
        AuthenticationScheme(
            type=AuthenticationScheme.Type.oauthbearertoken,
            name="Bearer token",
            description="Token of a service with the scope identity:provision.",
            primary=True,
        )
    ],
)
USER_TYPE: Final = ResourceType.from_resource(User[EnterpriseUser])
GROUP_TYPE: Final = ResourceType.from_resource(Group)
PROVIDER: Final = ScimProvider(
    models=[User, Group, EnterpriseUser],
    resource_types=[USER_TYPE, GROUP_TYPE],
    config=CONFIG,
    policy=ScimPolicy(unknown=ScimPolicy.Unknown.ignore),
)
SERVICE: Final = ScimService(PROVIDER)
ENTERPRISE: Final = str(EnterpriseUser.__schema__)
UserResource: Final = User[EnterpriseUser]
