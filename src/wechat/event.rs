//! What happened: the events that WeChat pushes (事件推送), each with its fields.
//!
//! The table below is the whole truth about their names and fields: on the left our name, on the right WeChat's.
//! Everything but the name is optional, because the fields vary from account to account and over the years.
//! Names are case-sensitive: the event `LOCATION` is not the message type `location`.
//!
//! Sources:
//! <https://developers.weixin.qq.com/doc/offiaccount/en/Message_Management/Receiving_event_pushes.html>,
//! <https://developers.weixin.qq.com/doc/offiaccount/en/Custom_Menus/Custom_Menu_Push_Events.html>

use super::field::{Record, kinds, record};
use super::xml::Element;

kinds! {
    /// An event, see the [module](self).
    pub enum Event<'m>;

    /// The names of all events in [`Event`], each by its usual name.
    pub const KNOWN_EVENTS;

    // Follow, scan, location.

    /// A user follows the account (关注).
    "subscribe" => Subscribe {
        /// Absent after a plain follow. `qrscene_` and the scene after a scan, see [`Event::scene`];
        /// `last_trade_no_` and a number after a payment.
        event_key: Option<&'m str> = "EventKey",
        /// Fetches the picture of the QR code that was scanned.
        ticket: Option<&'m str> = "Ticket",
    };
    /// A user left (取消关注). His personal data must now be deleted.
    "unsubscribe" => Unsubscribe {
        /// Usually absent.
        event_key: Option<&'m str> = "EventKey",
    };
    /// A follower scanned a QR code with a parameter.
    "SCAN" => Scan {
        /// The scene, without a prefix.
        event_key: Option<&'m str> = "EventKey",
        /// Fetches the picture of the QR code that was scanned.
        ticket: Option<&'m str> = "Ticket",
    };
    /// Where the user is, told on entering the conversation or every five seconds (上报地理位置).
    "LOCATION" => Location {
        /// Degrees, north is positive.
        latitude: Option<f64> = "Latitude",
        /// Degrees, east is positive.
        longitude: Option<f64> = "Longitude",
        /// Metres.
        precision: Option<f64> = "Precision",
    };

    // The menu.

    /// A menu button was pressed.
    "CLICK" => Click {
        /// The button's key.
        event_key: Option<&'m str> = "EventKey",
    };
    /// A menu button opened a page. An answer would not be seen.
    "VIEW" => View {
        /// The URL.
        event_key: Option<&'m str> = "EventKey",
        /// The conditional menu that the button belongs to (个性化菜单), if it does.
        menu_id: Option<&'m str> = "MenuId",
    };
    /// A menu button opened a mini-program. An answer would not be seen.
    "view_miniprogram" => ViewMiniprogram {
        /// The path of the page.
        event_key: Option<&'m str> = "EventKey",
        /// The conditional menu that the button belongs to (个性化菜单), if it does.
        menu_id: Option<&'m str> = "MenuId",
    };
    /// A menu button scanned a code, and the client showed the result.
    "scancode_push" => ScancodePush(ScanCode<'m>);
    /// A menu button scanned a code, and the client waits for our answer.
    "scancode_waitmsg" => ScancodeWaitmsg(ScanCode<'m>);
    /// A menu button took photos; they follow as `image` messages.
    "pic_sysphoto" => PicSysphoto(SentPictures<'m>);
    /// A menu button took or chose photos; they follow as `image` messages.
    "pic_photo_or_album" => PicPhotoOrAlbum(SentPictures<'m>);
    /// A menu button chose pictures; they follow as `image` messages.
    "pic_weixin" => PicWeixin(SentPictures<'m>);
    /// A menu button chose a place; it follows as a `location` message.
    "location_select" => LocationSelect {
        /// The button's key.
        event_key: Option<&'m str> = "EventKey",
        /// Latitude in degrees.
        latitude: Option<f64> = "SendLocationInfo/Location_X",
        /// Longitude in degrees.
        longitude: Option<f64> = "SendLocationInfo/Location_Y",
        /// The map's zoom.
        scale: Option<u64> = "SendLocationInfo/Scale",
        /// The address.
        label: Option<&'m str> = "SendLocationInfo/Label",
        /// The name of the place or of the circle of friends.
        poiname: Option<&'m str> = "SendLocationInfo/Poiname",
    };

    // Reports of what was sent or published.

    /// A template message was delivered or not.
    "TEMPLATESENDJOBFINISH" => TemplateSendJobFinish {
        /// As answered by the API when it was sent.
        msg_id: Option<u64> = "MsgID",
        /// `success`, `failed:user block` or `failed: system failed`; the blank after the colon varies.
        status: Option<&'m str> = "Status",
    };
    /// A mass message was sent or not (群发).
    "MASSSENDJOBFINISH" => MassSendJobFinish {
        /// As answered by the API when it was sent; unknown if it was sent in the console.
        msg_id: Option<u64> = "MsgID",
        /// `send success`, `send fail` or `err(`number`)`.
        status: Option<&'m str> = "Status",
        /// The followers addressed.
        total_count: Option<u64> = "TotalCount",
        /// Those left after those who refuse, or had enough this month, were filtered out.
        filter_count: Option<u64> = "FilterCount",
        /// Sent.
        sent_count: Option<u64> = "SentCount",
        /// Failed.
        error_count: Option<u64> = "ErrorCount",
        /// How many articles the check for originality looked at.
        copyright_count: Option<u64> = "CopyrightCheckResult/Count",
        /// What it found.
        copyright_checks: Vec<CopyrightCheck<'m>> = "CopyrightCheckResult/ResultList/item",
        /// 1: no reprint; 2: a reprint that may be sent; 3: one that may not.
        copyright_check_state: Option<u64> = "CopyrightCheckResult/CheckState",
        /// How many articles have an URL.
        article_url_count: Option<u64> = "ArticleUrlResult/Count",
        /// Their URLs.
        article_urls: Vec<ArticleUrl<'m>> = "ArticleUrlResult/ResultList/item",
    };
    /// A publication came to its end (发布结果).
    "PUBLISHJOBFINISH" | "FREEPUBLISHJOBFINISH" => PublishJobFinish {
        /// As answered by the API.
        publish_id: Option<&'m str> = "PublishEventInfo/publish_id",
        /// 0: published; 1: going on; 2: not original; 3: failed; 4: refused; 5: deleted by the user; 6: banned.
        publish_status: Option<u64> = "PublishEventInfo/publish_status",
        /// With status 0.
        article_id: Option<&'m str> = "PublishEventInfo/article_id",
        /// With status 0.
        article_count: Option<u64> = "PublishEventInfo/article_detail/count",
        /// With status 0.
        articles: Vec<PublishedArticle<'m>> = "PublishEventInfo/article_detail/item",
        /// With status 2: the numbers of the articles at fault, from 1.
        fail_idx: Vec<u64> = "PublishEventInfo/fail_idx",
    };

    // Subscription notices.

    /// A user answered the question whether he wants notices (订阅通知).
    "subscribe_msg_popup_event" => SubscribeMsgPopup {
        /// An entry for each template.
        list: Vec<SubscribeChoice<'m>> = "SubscribeMsgPopupEvent/List",
    };
    /// A user changed his mind in the settings.
    "subscribe_msg_change_event" => SubscribeMsgChange {
        /// An entry for each template. Only `reject` is pushed.
        list: Vec<SubscribeChoice<'m>> = "SubscribeMsgChangeEvent/List",
    };
    /// A notice was delivered or not.
    "subscribe_msg_sent_event" => SubscribeMsgSent {
        /// An entry for each notice.
        list: Vec<SubscribeSent<'m>> = "SubscribeMsgSentEvent/List",
    };

    // Human customer service.

    /// Somebody of the staff took a conversation over (接入会话).
    "kf_create_session" => KfCreateSession {
        /// His account, as `test1@test`.
        kf_account: Option<&'m str> = "KfAccount",
    };
    /// A conversation with the staff ended (关闭会话).
    "kf_close_session" => KfCloseSession {
        /// His account.
        kf_account: Option<&'m str> = "KfAccount",
        /// How it ended; newer accounts only.
        close_type: Option<&'m str> = "CloseType",
    };
    /// A conversation went from one of the staff to another (转接会话).
    "kf_switch_session" => KfSwitchSession {
        /// The account before.
        from_kf_account: Option<&'m str> = "FromKfAccount",
        /// The account after.
        to_kf_account: Option<&'m str> = "ToKfAccount",
    };

    // Verification of the account.

    /// The papers were accepted (资质认证成功).
    "qualification_verify_success" => QualificationVerifySuccess {
        /// Until when it holds, in Unix seconds.
        expired_time: Option<u64> = "ExpiredTime",
    };
    /// The papers were refused.
    "qualification_verify_fail" => QualificationVerifyFail(Refused<'m>);
    /// The name was accepted: the account has its badge (名称认证成功).
    "naming_verify_success" => NamingVerifySuccess {
        /// Until when it holds, in Unix seconds.
        expired_time: Option<u64> = "ExpiredTime",
    };
    /// The name was refused.
    "naming_verify_fail" => NamingVerifyFail(Refused<'m>);
    /// The yearly verification is due (年审通知).
    "annual_renew" => AnnualRenew {
        /// Until when it holds, in Unix seconds.
        expired_time: Option<u64> = "ExpiredTime",
    };
    /// The verification has expired (认证过期失效).
    "verify_expired" => VerifyExpired {
        /// Until when it held, in Unix seconds.
        expired_time: Option<u64> = "ExpiredTime",
    };

    // The rights of users over their data.

    /// A user changed his data (用户资料变更).
    "user_info_modified" => UserInfoModified(UserRights<'m>);
    /// A user took an authorisation back: the data must be deleted (用户撤回授权).
    "user_authorization_revoke" => UserAuthorizationRevoke(UserRights<'m>);
    /// A user closed his account: the data must be deleted (用户完成注销).
    "user_authorization_cancellation" => UserAuthorizationCancellation(UserRights<'m>);

    // Cards, invoices and orders.

    /// A card passed WeChat's review (卡券).
    "card_pass_check" => CardPassCheck {
        /// The card.
        card_id: Option<&'m str> = "CardId",
    };
    /// A card did not pass WeChat's review.
    "card_not_pass_check" => CardNotPassCheck {
        /// The card.
        card_id: Option<&'m str> = "CardId",
        /// Why not.
        refuse_reason: Option<&'m str> = "RefuseReason",
    };
    /// A user took a card.
    "user_get_card" => UserGetCard {
        /// The card.
        card_id: Option<&'m str> = "CardId",
        /// Whether a friend gave it.
        is_give_by_friend: Option<bool> = "IsGiveByFriend",
        /// The user's own number of it.
        user_card_code: Option<&'m str> = "UserCardCode",
        /// The openid of the friend.
        friend_user_name: Option<&'m str> = "FriendUserName",
        /// Where it was taken, as a number.
        outer_id: Option<&'m str> = "OuterId",
        /// The number that it had with the friend.
        old_user_card_code: Option<&'m str> = "OldUserCardCode",
        /// Where it was taken, as a text.
        outer_str: Option<&'m str> = "OuterStr",
        /// Whether a deleted member card came back.
        is_restore_member_card: Option<bool> = "IsRestoreMemberCard",
        /// Whether a friend recommended it.
        is_recommend_by_friend: Option<bool> = "IsRecommendByFriend",
        /// The user across the accounts of one owner.
        union_id: Option<&'m str> = "UnionId",
    };
    /// A user is giving a card away.
    "user_gifting_card" => UserGiftingCard {
        /// The card.
        card_id: Option<&'m str> = "CardId",
        /// The user's own number of it.
        user_card_code: Option<&'m str> = "UserCardCode",
        /// Whether it came back because nobody took it.
        is_return_back: Option<bool> = "IsReturnBack",
        /// The openid of the friend.
        friend_user_name: Option<&'m str> = "FriendUserName",
        /// Whether it was given to a group.
        is_chat_room: Option<bool> = "IsChatRoom",
    };
    /// A user deleted a card.
    "user_del_card" => UserDelCard(CardOfUser<'m>);
    /// A card was used up.
    "user_consume_card" => UserConsumeCard {
        /// The card.
        card_id: Option<&'m str> = "CardId",
        /// The user's own number of it.
        user_card_code: Option<&'m str> = "UserCardCode",
        /// `FROM_API`, `FROM_MP` or `FROM_MOBILE_HELPER`.
        consume_source: Option<&'m str> = "ConsumeSource",
        /// The store.
        location_name: Option<&'m str> = "LocationName",
        /// The openid of the one who did it.
        staff_open_id: Option<&'m str> = "StaffOpenId",
        /// The code entered.
        verify_code: Option<&'m str> = "VerifyCode",
        /// The amount noted.
        remark_amount: Option<&'m str> = "RemarkAmount",
        /// Where the card was taken.
        outer_str: Option<&'m str> = "OuterStr",
    };
    /// A user paid out of a card.
    "user_pay_from_pay_cell" => UserPayFromPayCell {
        /// The card.
        card_id: Option<&'m str> = "CardId",
        /// The user's own number of it.
        user_card_code: Option<&'m str> = "UserCardCode",
        /// The transaction.
        trans_id: Option<&'m str> = "TransId",
        /// The store.
        location_id: Option<&'m str> = "LocationId",
        /// Paid, in fen.
        fee: Option<u64> = "Fee",
        /// The price before the discount, in fen.
        original_fee: Option<u64> = "OriginalFee",
    };
    /// A user looked at a card.
    "user_view_card" => UserViewCard {
        /// The card.
        card_id: Option<&'m str> = "CardId",
        /// The user's own number of it.
        user_card_code: Option<&'m str> = "UserCardCode",
        /// Where it was taken.
        outer_str: Option<&'m str> = "OuterStr",
    };
    /// A user came into the conversation from a card.
    "user_enter_session_from_card" => UserEnterSessionFromCard(CardOfUser<'m>);
    /// The points or the money on a member card changed.
    "update_member_card" => UpdateMemberCard {
        /// The card.
        card_id: Option<&'m str> = "CardId",
        /// The user's own number of it.
        user_card_code: Option<&'m str> = "UserCardCode",
        /// Points added, or taken if negative.
        modify_bonus: Option<&'m str> = "ModifyBonus",
        /// Money added, or taken if negative.
        modify_balance: Option<&'m str> = "ModifyBalance",
    };
    /// The stock of a card runs low.
    "card_sku_remind" => CardSkuRemind {
        /// The card.
        card_id: Option<&'m str> = "CardId",
        /// WeChat's sentence about it.
        detail: Option<&'m str> = "Detail",
    };
    /// The account's coins for cards changed.
    "card_pay_order" => CardPayOrder {
        /// The order.
        order_id: Option<&'m str> = "OrderId",
        /// `ORDER_STATUS_…`.
        status: Option<&'m str> = "Status",
        /// Unix seconds.
        create_order_time: Option<u64> = "CreateOrderTime",
        /// Unix seconds.
        pay_finish_time: Option<u64> = "PayFinishTime",
        /// How it was paid.
        desc: Option<&'m str> = "Desc",
        /// Free coins.
        free_coin_count: Option<&'m str> = "FreeCoinCount",
        /// Paid coins.
        pay_coin_count: Option<&'m str> = "PayCoinCount",
        /// Free coins given back.
        refund_free_coin_count: Option<&'m str> = "RefundFreeCoinCount",
        /// Paid coins given back.
        refund_pay_coin_count: Option<&'m str> = "RefundPayCoinCount",
        /// `ORDER_TYPE_…`.
        order_type: Option<&'m str> = "OrderType",
        /// A remark.
        memo: Option<&'m str> = "Memo",
        /// About the receipt.
        receipt_info: Option<&'m str> = "ReceiptInfo",
    };
    /// A user sent the form of a member card.
    "submit_membercard_user_info" => SubmitMembercardUserInfo(CardOfUser<'m>);
    /// A merchant of ours passed WeChat's review or not.
    "card_merchant_check_result" => CardMerchantCheckResult {
        /// The merchant.
        merchant_id: Option<&'m str> = "MerchantId",
        /// Whether it passed.
        is_pass: Option<bool> = "IsPass",
        /// Why not.
        reason: Option<&'m str> = "Reason",
    };
    /// A user bought a gift card.
    "giftcard_pay_done" => GiftcardPayDone {
        /// The page.
        page_id: Option<&'m str> = "PageId",
        /// The order.
        order_id: Option<&'m str> = "OrderId",
    };
    /// A user sent a gift card.
    "giftcard_send_to_friend" => GiftcardSendToFriend {
        /// The page.
        page_id: Option<&'m str> = "PageId",
        /// The order.
        order_id: Option<&'m str> = "OrderId",
        /// Whether it was sent to a group.
        is_chat_room: Option<bool> = "IsChatRoom",
        /// Whether it came back.
        is_return_back: Option<bool> = "IsReturnBack",
    };
    /// A user took a gift card that was sent.
    "giftcard_user_accept" => GiftcardUserAccept {
        /// The page.
        page_id: Option<&'m str> = "PageId",
        /// The order.
        order_id: Option<&'m str> = "OrderId",
        /// Whether it was sent to a group.
        is_chat_room: Option<bool> = "IsChatRoom",
    };
    /// A user allowed us to make his invoice (发票).
    "user_authorize_invoice" => UserAuthorizeInvoice {
        /// The order, if he allowed it.
        succ_order_id: Option<&'m str> = "SuccOrderId",
        /// The order, if he did not.
        fail_order_id: Option<&'m str> = "FailOrderId",
        /// The account.
        app_id: Option<&'m str> = "AppId",
        /// The account, by the name that other documents give it.
        authorize_app_id: Option<&'m str> = "AuthorizeAppId",
        /// Where he did it.
        source: Option<&'m str> = "Source",
    };
    /// An invoice was handed in.
    "update_invoice_status" => UpdateInvoiceStatus {
        /// `INVOICE_REIMBURSE_INIT`, `…_LOCK`, `…_CLOSURE` or `…_CANCEL`.
        status: Option<&'m str> = "Status",
        /// The card.
        card_id: Option<&'m str> = "CardId",
        /// The user's own number of it.
        code: Option<&'m str> = "Code",
    };
    /// A user sent what an invoice has to say.
    "submit_invoice_title" => SubmitInvoiceTitle {
        /// The name.
        title: Option<&'m str> = "title",
        /// The telephone.
        phone: Option<&'m str> = "phone",
        /// The tax number.
        tax_no: Option<&'m str> = "tax_no",
        /// The address.
        addr: Option<&'m str> = "addr",
        /// The bank.
        bank_type: Option<&'m str> = "bank_type",
        /// The bank account.
        bank_no: Option<&'m str> = "bank_no",
        /// A value of ours.
        attach: Option<&'m str> = "attach",
        /// A company or a person.
        title_type: Option<&'m str> = "title_type",
    };
    /// An invoice was made or not.
    "cloud_invoice_invoiceresult_event" => CloudInvoiceResult {
        /// The request (发票请求流水号).
        fpqqlsh: Option<&'m str> = "fpqqlsh",
        /// How it ended.
        status: Option<&'m str> = "status",
        /// The tax number (纳税人识别号).
        nsrsbh: Option<&'m str> = "nsrsbh",
    };
    /// An order in WeChat's shop (微信小店, retired).
    "merchant_order" => MerchantOrder {
        /// The order.
        order_id: Option<&'m str> = "OrderId",
        /// Its state.
        order_status: Option<&'m str> = "OrderStatus",
        /// The product.
        product_id: Option<&'m str> = "ProductId",
        /// Its kind.
        sku_info: Option<&'m str> = "SkuInfo",
    };

    // Stores, Wi-Fi, shaking, guides; most are retired.

    /// A store was reviewed (门店审核).
    "poi_check_notify" => PoiCheckNotify {
        /// Our number of it.
        uniq_id: Option<&'m str> = "UniqId",
        /// WeChat's number of it.
        poi_id: Option<&'m str> = "PoiId",
        /// `succ` or `fail`.
        result: Option<&'m str> = "Result",
        /// Why.
        msg: Option<&'m str> = "Msg",
    };
    /// A user joined a store's Wi-Fi.
    "WifiConnected" => WifiConnected {
        /// Unix seconds.
        connect_time: Option<u64> = "ConnectTime",
        /// Unix seconds.
        expire_time: Option<u64> = "ExpireTime",
        /// The vendor.
        vendor_id: Option<&'m str> = "VendorId",
        /// The store.
        place_id: Option<&'m str> = "PlaceId",
        /// The store, by its other name.
        shop_id: Option<&'m str> = "ShopId",
        /// The access point.
        device_no: Option<&'m str> = "DeviceNo",
    };
    /// A user shook his phone near a beacon.
    "ShakearoundUserShake" => ShakearoundUserShake {
        /// The beacon that he chose.
        chosen_beacon: Option<Beacon<'m>> = "ChosenBeacon",
        /// The others.
        around_beacons: Vec<Beacon<'m>> = "AroundBeacons/AroundBeacon",
    };
    /// A user scanned a guide's code (导购).
    "guide_qrcode_scan_event" => GuideQrcodeScan {
        /// The guide.
        guide_account: Option<&'m str> = "GuideScanEvent/qrcode_guide_account",
        /// The guide's openid.
        guide_openid: Option<&'m str> = "GuideScanEvent/qrcode_guide_openid",
        /// The user.
        openid: Option<&'m str> = "GuideScanEvent/openid",
        /// What he did.
        action: Option<&'m str> = "GuideScanEvent/action",
        /// A value of ours.
        qrcode_info: Option<&'m str> = "GuideScanEvent/qrcode_info",
    };
    /// Somebody answered an invitation to be a guide.
    "guide_invite_result_event" => GuideInviteResult {
        /// The guide.
        guide_account: Option<&'m str> = "GuideInviteEvent/guide_account",
        /// The guide's openid.
        guide_openid: Option<&'m str> = "GuideInviteEvent/guide_openid",
        /// How it ended.
        invite_result: Option<&'m str> = "GuideInviteEvent/invite_result",
    };
    /// A guide has a new customer. Its fields are not published.
    "add_guide_buyer_relation_event" => AddGuideBuyerRelation;
    /// A user scanned a product and saw its page.
    "user_scan_product" => UserScanProduct(ScanProduct<'m>);
    /// A user came into the conversation from a product's page.
    "user_scan_product_enter_session" => UserScanProductEnterSession(ScanProduct<'m>);
    /// A product's page asks for more.
    "user_scan_product_async" => UserScanProductAsync(ScanProduct<'m>);
    /// A product was reviewed.
    "user_scan_product_verify_action" => UserScanProductVerifyAction(ScanProduct<'m>);
    /// A user follows the account after he scanned a product.
    "subscribe_scan_product" => SubscribeScanProduct(ScanProduct<'m>);
    /// A device of the account said something (retired).
    "device_text" => DeviceText(Device<'m>);
    /// A device of the account was bound or set free (retired).
    "device_event" => DeviceEvent(Device<'m>);
    /// A user bound a device (retired).
    "bind" => Bind(Device<'m>);
    /// A user set a device free (retired).
    "unbind" => Unbind(Device<'m>);
    /// Sent by the platform's own tool for testing pushes.
    "debug_demo" => DebugDemo {
        /// Any text.
        debug_str: Option<&'m str> = "debug_str",
    };
}

record! {
    /// A code that a menu button scanned.
    pub struct ScanCode<'m> {
        /// The button's key.
        event_key: Option<&'m str> = "EventKey",
        /// `qrcode` or `barcode`.
        scan_type: Option<&'m str> = "ScanCodeInfo/ScanType",
        /// The text in it; for bar codes usually kind and value, as `EAN_13,6901234567892`.
        scan_result: Option<&'m str> = "ScanCodeInfo/ScanResult",
    }
}

record! {
    /// Pictures that a menu button sent; they themselves follow as `image` messages.
    pub struct SentPictures<'m> {
        /// The button's key.
        event_key: Option<&'m str> = "EventKey",
        /// How many.
        count: Option<u64> = "SendPicsInfo/Count",
        /// MD5 of each, in hex.
        md5_sums: Vec<&'m str> = "SendPicsInfo/PicList/item/PicMd5Sum",
    }
}

record! {
    /// What the check for originality found about one article of a mass message.
    pub struct CopyrightCheck<'m> {
        /// The article's number, from 1.
        article_idx: Option<u64> = "ArticleIdx",
        /// What the sender declared; the values are not published.
        user_declare_state: Option<u64> = "UserDeclareState",
        /// What the review said; the values are not published.
        audit_state: Option<u64> = "AuditState",
        /// The similar original.
        original_article_url: Option<&'m str> = "OriginalArticleUrl",
        /// Its kind.
        original_article_type: Option<u64> = "OriginalArticleType",
        /// Whether it may be reprinted.
        can_reprint: Option<bool> = "CanReprint",
        /// Whether our text has to be replaced by the original.
        need_replace_content: Option<bool> = "NeedReplaceContent",
        /// Whether the source has to be shown.
        need_show_reprint_source: Option<bool> = "NeedShowReprintSource",
    }
}

record! {
    /// The URL of one article of a mass message.
    pub struct ArticleUrl<'m> {
        /// The article's number, from 1.
        article_idx: Option<u64> = "ArticleIdx",
        /// Its URL.
        article_url: Option<&'m str> = "ArticleUrl",
    }
}

record! {
    /// The URL of one published article.
    pub struct PublishedArticle<'m> {
        /// The article's number, from 1.
        idx: Option<u64> = "idx",
        /// Its URL.
        article_url: Option<&'m str> = "article_url",
    }
}

record! {
    /// What a user wants of one template of notices.
    pub struct SubscribeChoice<'m> {
        /// The template.
        template_id: Option<&'m str> = "TemplateId",
        /// `accept` or `reject`.
        status: Option<&'m str> = "SubscribeStatusString",
        /// 1: asked by a web page; 2: by an article. Only when asked.
        popup_scene: Option<u64> = "PopupScene",
    }
}

record! {
    /// How the delivery of one notice ended.
    pub struct SubscribeSent<'m> {
        /// The template.
        template_id: Option<&'m str> = "TemplateId",
        /// As answered by the API when it was sent.
        msg_id: Option<u64> = "MsgID",
        /// 0 is success.
        error_code: Option<u64> = "ErrorCode",
        /// `success` or why not.
        error_status: Option<&'m str> = "ErrorStatus",
    }
}

record! {
    /// Why a verification failed.
    pub struct Refused<'m> {
        /// Unix seconds.
        fail_time: Option<u64> = "FailTime",
        /// WeChat's sentence about it.
        fail_reason: Option<&'m str> = "FailReason",
    }
}

record! {
    /// Whose data, and which.
    pub struct UserRights<'m> {
        /// The user, not necessarily the sender of the event.
        openid: Option<&'m str> = "OpenID",
        /// The user across the accounts of one owner.
        union_id: Option<&'m str> = "UnionID",
        /// The account that he authorised.
        app_id: Option<&'m str> = "AppID",
        /// 201 address, 202 invoice, 203 card, 204 microphone, 205 nickname and portrait, 206 place, 207 pictures.
        revoke_info: Option<&'m str> = "RevokeInfo",
    }
}

record! {
    /// A user's card.
    pub struct CardOfUser<'m> {
        /// The card.
        card_id: Option<&'m str> = "CardId",
        /// The user's own number of it.
        user_card_code: Option<&'m str> = "UserCardCode",
    }
}

record! {
    /// A beacon near the user.
    pub struct Beacon<'m> {
        /// Its maker's number.
        uuid: Option<&'m str> = "Uuid",
        /// Its group.
        major: Option<u64> = "Major",
        /// Its number in the group.
        minor: Option<u64> = "Minor",
        /// Metres.
        distance: Option<f64> = "Distance",
    }
}

record! {
    /// A product that was scanned (一物一码, retired); each event has some of these.
    pub struct ScanProduct<'m> {
        /// The kind of the code.
        key_standard: Option<&'m str> = "KeyStandard",
        /// The code.
        key_str: Option<&'m str> = "KeyStr",
        /// Of the user.
        country: Option<&'m str> = "Country",
        /// Of the user.
        province: Option<&'m str> = "Province",
        /// Of the user.
        city: Option<&'m str> = "City",
        /// Of the user: 1 male, 2 female, 0 unknown.
        sex: Option<u64> = "Sex",
        /// How the page was opened.
        scene: Option<&'m str> = "Scene",
        /// A value of ours.
        ext_info: Option<&'m str> = "ExtInfo",
        /// Where the user is.
        region_code: Option<&'m str> = "RegionCode",
        /// What the review said.
        result: Option<&'m str> = "Result",
        /// And why.
        reason_msg: Option<&'m str> = "ReasonMsg",
    }
}

record! {
    /// What a device of the account sent (hardware accounts, retired).
    pub struct Device<'m> {
        /// The account's original id.
        device_type: Option<&'m str> = "DeviceType",
        /// The device.
        device_id: Option<&'m str> = "DeviceID",
        /// To be sent back in the answer.
        session_id: Option<&'m str> = "SessionID",
        /// Base64.
        content: Option<&'m str> = "Content",
        /// The user.
        openid: Option<&'m str> = "OpenID",
        /// What the user asks for.
        op_type: Option<&'m str> = "OpType",
        /// Whether it is on.
        device_status: Option<&'m str> = "DeviceStatus",
    }
}

impl<'m> Record<'m> for Event<'m> {
    fn read(fields: &'m Element<'m>) -> Self {
        Self::of_kind(fields.child_text("Event").unwrap_or_default(), fields)
    }

    fn each_path(each: &mut dyn FnMut(&'static str)) {
        Event::each_path(each);
    }
}

impl<'m> Event<'m> {
    /// `EventKey` as it came: the key of a button, the URL of a page, the scene of a QR code.
    #[must_use]
    pub fn event_key(&self) -> Option<&'m str> {
        match self {
            Self::Subscribe { event_key, .. }
            | Self::Unsubscribe { event_key }
            | Self::Scan { event_key, .. }
            | Self::Click { event_key }
            | Self::View { event_key, .. }
            | Self::ViewMiniprogram { event_key, .. }
            | Self::LocationSelect { event_key, .. } => *event_key,
            Self::ScancodePush(scan) | Self::ScancodeWaitmsg(scan) => scan.event_key,
            Self::PicSysphoto(sent) | Self::PicPhotoOrAlbum(sent) | Self::PicWeixin(sent) => sent.event_key,
            _ => None,
        }
    }

    /// The scene of the QR code that was scanned, whether the user followed the account before or does so now.
    #[must_use]
    pub fn scene(&self) -> Option<&'m str> {
        match self {
            Self::Scan { event_key, .. } => *event_key,
            Self::Subscribe { event_key, .. } => event_key.and_then(|key| key.strip_prefix(SCENE_PREFIX)),
            _ => None,
        }
    }
}

const SCENE_PREFIX: &str = "qrscene_";

/// An `EventKey` without `qrscene_`, which a new follower's scan has and an old one's has not.
///
/// Other prefixes stay, as `last_trade_no_`: they say that it is no scene.
#[must_use]
pub fn key_without_prefix(event_key: &str) -> &str {
    event_key.strip_prefix(SCENE_PREFIX).unwrap_or(event_key)
}

#[cfg(test)]
mod tests {
    use super::super::xml;
    use super::*;

    /// Reads an event whose other fields are `inner`.
    fn with_event(name: &str, inner: &str, check: impl FnOnce(Event<'_>)) {
        let body = format!("<xml><Event>{name}</Event>{inner}</xml>");
        check(Event::read(&xml::parse(body.as_bytes()).unwrap()));
    }

    #[test]
    fn a_scene_is_found_with_and_without_its_prefix() {
        let scene = |name: &str, key: &str, expected: Option<&str>| {
            let inner = format!("<EventKey><![CDATA[{key}]]></EventKey>");
            with_event(name, &inner, |event| assert_eq!(event.scene(), expected, "{name} {key}"));
        };
        scene("subscribe", "qrscene_123123", Some("123123"));
        scene("subscribe", "qrscene_qrscene_x", Some("qrscene_x"));
        scene("subscribe", "last_trade_no_4008", None);
        scene("subscribe", "", None);
        scene("SCAN", "SCENE_VALUE", Some("SCENE_VALUE"));
        scene("CLICK", "qrscene_1", None);
    }

    #[test]
    fn only_the_prefix_of_a_scene_is_stripped() {
        assert_eq!(key_without_prefix("qrscene_123"), "123");
        assert_eq!(key_without_prefix("123"), "123");
        assert_eq!(key_without_prefix("last_trade_no_4008"), "last_trade_no_4008");
        assert_eq!(key_without_prefix("scanbarcode|EAN_13"), "scanbarcode|EAN_13");
    }

    #[test]
    fn names_are_trimmed_and_case_sensitive() {
        with_event(" <![CDATA[card_pass_check]]>\n", "<CardId>p</CardId>", |event| {
            assert_eq!(event, Event::CardPassCheck { card_id: Some("p") });
        });
        for name in ["Subscribe", "scan", "click", "location"] {
            with_event(name, "", |event| assert_eq!(event, Event::Unknown { name }));
        }
        with_event("", "", |event| assert_eq!(event.name(), ""));
    }

    #[test]
    fn both_names_of_a_publication_mean_the_same() {
        for name in ["PUBLISHJOBFINISH", "FREEPUBLISHJOBFINISH"] {
            with_event(name, "", |event| assert_eq!(event.name(), "PUBLISHJOBFINISH"));
        }
    }

    #[test]
    fn every_known_event_is_known() {
        assert_eq!(KNOWN_EVENTS.len(), 69);
        for name in KNOWN_EVENTS {
            with_event(name, "", |event| {
                assert!(!matches!(event, Event::Unknown { .. }), "{name}");
                assert_eq!(event.name(), *name);
            });
        }
    }
}
