<?xml version="1.0" encoding="UTF-8"?>
<!-- Aus einer Nachricht unserer Leistungen ihre Eingangsbestätigung. Die Parameter beschreibt schemas/README.md. -->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:b="urn:nahtlos:basis:1">
  <xsl:output method="xml" encoding="UTF-8" indent="yes"/>
  <xsl:param name="message_id"/>
  <xsl:param name="created"/>
  <xsl:param name="reference"/>
  <xsl:param name="received"/>
  <xsl:param name="authority"/>
  <xsl:param name="leistung"/>
  <xsl:param name="ars"/>
  <xsl:param name="test"/>
  <xsl:param name="digest"/>

  <xsl:template match="/*">
    <b:eingangsbestaetigung version="1.0">
      <b:nachrichtId><xsl:value-of select="$message_id"/></b:nachrichtId>
      <b:erstellt><xsl:value-of select="$created"/></b:erstellt>
      <b:eingangsnummer><xsl:value-of select="$reference"/></b:eingangsnummer>
      <b:eingegangen><xsl:value-of select="$received"/></b:eingegangen>
      <xsl:if test="$authority != ''"><b:stelle><xsl:value-of select="$authority"/></b:stelle></xsl:if>
      <b:leistung><xsl:value-of select="$leistung"/></b:leistung>
      <xsl:if test="$ars != ''"><b:ars><xsl:value-of select="$ars"/></b:ars></xsl:if>
      <b:testnachricht><xsl:value-of select="$test"/></b:testnachricht>
      <b:bezug>
        <xsl:for-each select="*[local-name() = 'kopf']/b:nachrichtId">
          <b:nachrichtId><xsl:value-of select="."/></b:nachrichtId>
        </xsl:for-each>
      </b:bezug>
      <b:sha256><xsl:value-of select="$digest"/></b:sha256>
    </b:eingangsbestaetigung>
  </xsl:template>
</xsl:stylesheet>
